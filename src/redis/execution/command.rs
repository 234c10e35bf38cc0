//! What a command is, and what happens around it.

use std::ffi::{CStr, c_int};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::redis::server::command;
use crate::redis::server::description::Description;
use crate::redis::server::usage::Arg;
use crate::redis::server::{Args, Ctx, Failure, Outcome, on_main_thread, writes_are_paused};
use crate::redis::{replication, store};
use crate::storage::Cancel;
use crate::storage::cold::touched::Cold;

pub use crate::redis::server::description::KeyAccess;

/// A command of this module, with all that the server is told of it: its documentation, its ACL categories. The key is always
/// argument 1.
pub trait Command {
    const NAME: &'static CStr;
    /// As `RedisModule_CreateCommand` takes them.
    const FLAGS: &'static CStr;
    /// Number of arguments, including the name; negative: the minimum.
    const ARITY: c_int;
    const KEY_ACCESS: KeyAccess;
    /// What `COMMAND DOCS` says.
    const SUMMARY: &'static CStr;
    const COMPLEXITY: &'static CStr;
    /// All arguments after the name, as `COMMAND DOCS` tells them.
    const ARGS: &'static [Arg] = &[Arg::KEY];
    /// Whether it can do more than its key tells, so that ACL rules withhold it by `-@dangerous`.
    const IS_DANGEROUS: bool = false;
    /// The version of the module that has it first.
    const SINCE: &'static CStr = c"0.1.0";
    /// Versions in which it changed, and what did.
    const HISTORY: &'static [(&'static CStr, &'static CStr)] = &[];

    /// Carries out the command and replies, or replies nothing and fails.
    ///
    /// # Errors
    /// What the client is to be told.
    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome;
}

/// Defines a command that is another one under a second name, and from which version on.
macro_rules! alias {
    ($(#[$doc:meta])* $alias:ident = $name:literal of $command:ty, since $since:literal) => {
        $(#[$doc])*
        pub struct $alias;

        impl Command for $alias {
            const NAME: &'static CStr = $name;
            const FLAGS: &'static CStr = <$command>::FLAGS;
            const ARITY: c_int = <$command>::ARITY;
            const KEY_ACCESS: KeyAccess = <$command>::KEY_ACCESS;
            const SUMMARY: &'static CStr = <$command>::SUMMARY;
            const COMPLEXITY: &'static CStr = <$command>::COMPLEXITY;
            const ARGS: &'static [Arg] = <$command>::ARGS;
            const IS_DANGEROUS: bool = <$command>::IS_DANGEROUS;
            const SINCE: &'static CStr = $since;

            #[inline]
            fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
                <$command>::run(ctx, args)
            }
        }
    };
}
pub(in crate::redis) use alias;

/// A command that can be registered.
pub struct Registration {
    pub name: &'static CStr,
    register: fn(&Ctx) -> bool,
}

impl Registration {
    pub const fn of<C: Command>() -> Self {
        Self {
            name: C::NAME,
            register: register::<C>,
        }
    }

    /// Registers the command, while the module is being loaded; `false` if the name is taken.
    pub fn register(&self, ctx: &Ctx) -> bool {
        (self.register)(ctx)
    }
}

fn register<C: Command>(ctx: &Ctx) -> bool {
    let description = Description {
        name: C::NAME,
        flags: C::FLAGS,
        arity: C::ARITY,
        key_access: C::KEY_ACCESS,
        summary: C::SUMMARY,
        complexity: C::COMPLEXITY,
        args: C::ARGS,
        is_dangerous: C::IS_DANGEROUS,
        since: C::SINCE,
        history: C::HISTORY,
    };
    command::register::<Called<C>>(ctx, &description)
}

/// A command as the server calls it.
struct Called<C>(PhantomData<C>);

impl<C: Command> command::EntryPoint for Called<C> {
    fn call(ctx: &Ctx, args: Args<'_>) {
        match catch_unwind(AssertUnwindSafe(|| C::run(ctx, args))) {
            Ok(Ok(())) => {}
            Ok(Err(Failure::Cold(cold))) => run_when_in_ram::<C>(ctx, *cold),
            Ok(Err(failure)) => ctx.reply_failure(&failure),
            Err(_) => {
                tracing::error!("{:?} panicked: this is a bug in the mmap module", C::NAME);
                ctx.reply_failure(&Failure::internal());
            }
        }
    }
}

/// Keeps the client waiting until values are in RAM, and then runs its command from the beginning: while it waited,
/// anything may have happened to the key.
#[cold]
fn run_when_in_ram<C: Command>(ctx: &Ctx, cold: Cold) {
    store().stats().cold_waits.add_one();
    let cancel = Cancel::default();
    let waiting = ctx.block_with(&cancel);
    let go_on = move || {
        waiting.end(Box::new(|ctx, args| {
            // The server calls this some commands later, and `CLIENT PAUSE` or `FAILOVER` may have been one of them.
            if C::KEY_ACCESS != KeyAccess::Read && writes_are_paused() {
                return Err(Failure::Message(
                    "writes were paused while this one waited for the disk: nothing was written, try again"
                        .to_owned(),
                ));
            }
            C::run(ctx, args)
        }));
    };
    store().bring_in(cold, cancel, move || {
        if C::KEY_ACCESS == KeyAccess::Read {
            go_on();
        } else {
            on_main_thread(Box::new(|| replication::when_writes_go_on(Box::new(go_on))));
        }
    });
}
