//! The other nodes of a Cluster.

use std::ffi::{c_char, c_int, c_uchar};
use std::{ptr, slice};

use redis_module::raw;

use crate::redis::server::context::Ctx;
use crate::redis::server::guarded::guarded;

/// Length of the name of a node of a Cluster, in bytes.
const NODE_ID_LEN: usize = 40;

/// The name of a node of a Cluster, with a NUL behind it.
pub struct NodeId([u8; NODE_ID_LEN + 1]);

impl Ctx {
    /// The node that this one follows, by the configuration of the Cluster, which the server has read before it loads
    /// anything. Not to be asked while the module is being loaded.
    pub fn primary_in_cluster(&self) -> Option<NodeId> {
        if !self.is_in_cluster() {
            return None;
        }
        let mut myself = [0_u8; NODE_ID_LEN + 1];
        let mut primary = myself;
        let mut flags = 0;
        // SAFETY: in a Cluster the server answers its name, which is that long and need not end in NUL.
        unsafe {
            let name = raw::RedisModule_GetMyClusterID.unwrap()();
            ptr::copy_nonoverlapping(name.cast(), myself.as_mut_ptr(), NODE_ID_LEN);
        }
        // SAFETY: the name ends in NUL; the server writes `NODE_ID_LEN` bytes and the flags, and accepts null for what is
        // not wanted.
        let status = unsafe {
            raw::RedisModule_GetClusterNodeInfo.unwrap()(
                self.raw(),
                myself.as_ptr().cast(),
                ptr::null_mut(),
                primary.as_mut_ptr().cast(),
                ptr::null_mut(),
                &raw mut flags,
            )
        };
        let is_replica = flags.cast_unsigned() & raw::REDISMODULE_NODE_SLAVE != 0;
        (status == raw::REDISMODULE_OK as c_int && is_replica && primary[0] != 0)
            .then_some(NodeId(primary))
    }

    /// Sends a message to the modules of this name on another node of the Cluster; `false` if the server knows no such node.
    pub fn send_to_node(&self, node: &NodeId, kind: u8, message: &[u8]) -> bool {
        let Ok(len) = u32::try_from(message.len()) else {
            return false;
        };
        // SAFETY: the id ends in NUL; the message is copied.
        let status = unsafe {
            raw::RedisModule_SendClusterMessage.unwrap()(
                self.raw(),
                node.0.as_ptr().cast(),
                kind,
                message.as_ptr().cast(),
                len,
            )
        };
        status == raw::REDISMODULE_OK as c_int
    }
}

/// What gets messages that modules of this name on other nodes send.
pub trait Receiver {
    const KIND: u8;

    fn receive(message: &[u8]);
}

/// Has a receiver get the messages of its kind, in a Cluster. While the module is being loaded.
pub fn receive<R: Receiver>(ctx: &Ctx) {
    if ctx.is_in_cluster() {
        // SAFETY: the context is that of OnLoad.
        unsafe {
            raw::RedisModule_RegisterClusterMessageReceiver.unwrap()(
                ctx.raw(),
                R::KIND,
                Some(on_message::<R>),
            );
        }
    }
}

extern "C" fn on_message<R: Receiver>(
    _ctx: *mut raw::RedisModuleCtx,
    _sender: *const c_char,
    _kind: u8,
    payload: *const c_uchar,
    len: u32,
) {
    guarded("a message of the Cluster", || {
        // SAFETY: the server passes that many bytes, which live during the call.
        let message = unsafe { slice::from_raw_parts(payload, len as usize) };
        R::receive(message);
    });
}
