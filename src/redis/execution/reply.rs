//! Values as replies.

use crate::redis::server::{Ctx, Resp};
use crate::storage::types::{FloatText, ItemType, Kind, Value, widen};

/// Replies with values of one type to one client.
pub struct Replier<'a> {
    ctx: &'a Ctx,
    item: ItemType,
    resp: Resp,
}

impl<'a> Replier<'a> {
    pub fn new(ctx: &'a Ctx, item: ItemType) -> Self {
        // Asking for the client's version costs as much as a reply.
        let resp = match item.kind() {
            Kind::Float | Kind::Double | Kind::Uint64 => ctx.resp(),
            _ => Resp::Two,
        };
        Self::speaking(ctx, item, resp)
    }

    /// For a client whose version of the protocol is known.
    pub fn speaking(ctx: &'a Ctx, item: ItemType, resp: Resp) -> Self {
        Self { ctx, item, resp }
    }

    /// Replies with the value that lies in `bytes`: integers as integers, floats as the shortest text that
    /// reads back to them (a double in RESP3), strings without their trailing NULs.
    #[inline]
    pub fn value(&self, bytes: &[u8]) {
        let mut text = FloatText::new();
        match (self.item.decode(bytes), self.resp) {
            (Value::Int(value), _) => self.ctx.reply_integer(value),
            (Value::Uint(value), _) => self.integer(value.into()),
            (Value::Double(value), _) => self.double(value),
            (Value::Float(value), Resp::Two) => {
                self.ctx.reply_bulk(text.format(value).as_bytes());
            }
            (Value::Float(value), Resp::Three) => self.ctx.reply_double(widen(value)),
            // No type of RESP holds 64 bits of mantissa: it is text in both versions.
            (Value::LongDouble(value), _) => self.ctx.reply_bulk(value.to_string().as_bytes()),
            (Value::Bytes(value), _) => self.ctx.reply_bulk(value),
        }
    }

    /// Replies with one value after the other, as [`Self::value`] does, and with nil where there is none.
    #[inline]
    pub fn values<'v>(&self, values: impl Iterator<Item = Option<&'v [u8]>>) {
        match (self.item.kind(), self.resp) {
            // A loop of its own for what most arrays hold: to look at the type of each value costs a tenth of a reply.
            (Kind::Double, Resp::Two) => self.each(values, |value| {
                let value = value
                    .first_chunk()
                    .map_or(f64::NAN, |bytes| f64::from_le_bytes(*bytes));
                self.double_text(value);
            }),
            _ => self.each(values, |value| self.value(value)),
        }
    }

    #[inline(always)]
    fn each<'v>(&self, values: impl Iterator<Item = Option<&'v [u8]>>, reply: impl Fn(&'v [u8])) {
        for value in values {
            match value {
                Some(value) => reply(value),
                None => self.ctx.reply_null(),
            }
        }
    }

    /// Replies with an integer of any size: beyond 64 bits as text, a big number in RESP3.
    pub fn integer(&self, value: i128) {
        match (i64::try_from(value), self.resp) {
            (Ok(value), _) => self.ctx.reply_integer(value),
            (Err(_), Resp::Two) => self.ctx.reply_bulk(value.to_string().as_bytes()),
            (Err(_), Resp::Three) => self.ctx.reply_big_number(value.to_string().as_bytes()),
        }
    }

    /// Replies with a double.
    #[inline]
    pub fn double(&self, value: f64) {
        match self.resp {
            Resp::Two => self.double_text(value),
            Resp::Three => self.ctx.reply_double(value),
        }
    }

    #[inline]
    fn double_text(&self, value: f64) {
        self.ctx
            .reply_bulk(FloatText::new().format(value).as_bytes());
    }
}
