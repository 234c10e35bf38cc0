//! `tracing` events as lines of the server's log, at the matching level.

use std::ffi::CStr;
use std::fmt::{Debug, Write};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::redis::server::log;

/// Writes all events of this crate to the log from now on, as those of this module.
pub fn install() {
    // A load that failed may have set it.
    let _ = tracing::subscriber::set_global_default(ServerLog);
}

struct ServerLog;

fn level_name(level: Level) -> &'static CStr {
    match level {
        Level::ERROR | Level::WARN => c"warning",
        Level::INFO => c"notice",
        Level::DEBUG => c"verbose",
        Level::TRACE => c"debug",
    }
}

impl Subscriber for ServerLog {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        log(level_name(*event.metadata().level()), &line.0);
    }

    fn new_span(&self, _attributes: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}
    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
    fn enter(&self, _span: &Id) {}
    fn exit(&self, _span: &Id) {}
}

/// The message, then the other fields as `name=value`.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a String does not fail.
        let _ = if field.name() == "message" {
            write!(self.0, "{value:?}")
        } else {
            write!(self.0, " {}={value:?}", field.name())
        };
    }
}
