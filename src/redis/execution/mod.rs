//! What commands share: arguments, ranges, replies, waiting.
//!
//! Uses `keys` and `replication`.

pub(in crate::redis) mod arguments;
pub(in crate::redis) mod background;
pub(in crate::redis) mod bounds;
pub(in crate::redis) mod cold;
pub(in crate::redis) mod command;
pub(in crate::redis) mod commit;
pub(in crate::redis) mod range;
pub(in crate::redis) mod reply;
pub(in crate::redis) mod scan;
pub(in crate::redis) mod scratch;
pub(in crate::redis) mod slice;
