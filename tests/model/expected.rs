//! What a command should answer, and whether a reply is that.

use crate::values::{Kind, Value};
use support::Reply;

#[derive(Debug)]
pub enum Expected {
    Ok,
    Nil,
    Int(i128),
    /// A value of the array.
    Value(Value),
    /// The same, but 0 and -0 are one.
    Equal(Value),
    /// A double that differs by at most so much.
    Near(f64, f64),
    /// A number that the model does not know: a sum that overflows.
    Number,
    Bytes(Vec<u8>),
    Array(Vec<Expected>),
    /// An error in which this occurs.
    Error(&'static str),
    /// A map in which these fields have these values.
    Fields(Vec<(&'static str, Expected)>),
    AtLeast(i64),
    OneOf(&'static [&'static str]),
}

impl Expected {
    pub fn text(text: impl Into<Vec<u8>>) -> Expected {
        Expected::Bytes(text.into())
    }

    /// How many values it is compared with.
    pub fn len(&self, kind: Kind) -> u64 {
        match self {
            Expected::Array(all) => all.iter().map(|one| one.len(kind)).sum(),
            Expected::Bytes(bytes) => (bytes.len() / kind.size()).max(1) as u64,
            _ => 1,
        }
    }

    pub fn is(&self, kind: Kind, reply: &Reply) -> bool {
        match (self, reply) {
            (Expected::Ok, Reply::Status(text)) => text == "OK",
            (Expected::Nil, Reply::Nil) => true,
            (Expected::Int(n), Reply::Int(found)) => *n == i128::from(*found),
            (Expected::Int(n), other) => {
                i64::try_from(*n).is_err() && text_of(other) == Some(n.to_string())
            }
            (Expected::Value(value), reply) => kind.reply_is(reply, value),
            (Expected::Equal(value), reply) => kind.reply_equals(reply, value),
            (Expected::Near(x, tolerance), reply) => match number(reply) {
                Some(found) => {
                    found == *x || found.is_nan() && x.is_nan() || (found - x).abs() <= *tolerance
                }
                None => false,
            },
            (Expected::Number, reply) => number(reply).is_some(),
            (Expected::Bytes(bytes), Reply::Bulk(found)) => bytes == found,
            (Expected::Array(all), Reply::Array(found)) => {
                all.len() == found.len()
                    && all
                        .iter()
                        .zip(found)
                        .all(|(one, reply)| one.is(kind, reply))
            }
            (Expected::Error(part), Reply::Error(text)) => text.contains(part),
            (Expected::Fields(fields), Reply::Array(_)) => {
                let found = reply.clone().pairs();
                fields
                    .iter()
                    .all(|(name, one)| found.get(*name).is_some_and(|reply| one.is(kind, reply)))
            }
            (Expected::AtLeast(n), Reply::Int(found)) => found >= n,
            (Expected::OneOf(all), reply) => {
                text_of(reply).is_some_and(|text| all.contains(&&*text))
            }
            _ => false,
        }
    }
}

fn text_of(reply: &Reply) -> Option<String> {
    match reply {
        Reply::Bulk(bytes) => String::from_utf8(bytes.clone()).ok(),
        Reply::BigNumber(text) | Reply::Double(text) => Some(text.clone()),
        _ => None,
    }
}

fn number(reply: &Reply) -> Option<f64> {
    text_of(reply)?.parse().ok()
}
