//! Registration of the commands.

use crate::redis::commands::{COMMANDS, VADD};
use crate::redis::server::Ctx;

/// Registers all commands; says whether the server has a `VADD` of its own.
///
/// # Errors
/// Names the command whose name is taken, by another module say.
pub fn register_commands(ctx: &Ctx) -> Result<bool, String> {
    for command in COMMANDS {
        if !command.register(ctx) {
            return Err(format!(
                "the command name {} is taken: is another module with it loaded?",
                command.name.to_string_lossy().to_uppercase()
            ));
        }
    }
    Ok(!VADD.register(ctx))
}
