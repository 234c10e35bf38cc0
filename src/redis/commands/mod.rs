//! The commands, one file each. A doc comment gives the syntax, the reply and the errors; the constants beside it are all that
//! the server is told of the command: flags, ACL categories, `COMMAND DOCS`.
//!
//! A new command is a file and its lines here; `docs/commands/` has a section for it. Uses `execution`; `module` registers
//! what is here.

mod describe;
mod mmap;
mod vadd;
mod vaddraw;
mod vadvise;
mod vagg;
mod vall;
mod vbuckets;
mod vclear;
mod vfill;
mod vfind;
mod vget;
mod vgetraw;
mod vincrby;
mod vmget;
mod vpop;
mod vreplicate;
mod vsearch;
mod vset;
mod vsetraw;
mod vsize;
mod vslice;
mod vstat;
mod vsync;
mod vtrim;

use crate::redis::execution::command::Registration;

/// All commands but [`VADD`].
pub const COMMANDS: &[Registration] = &[
    Registration::of::<mmap::Mmap>(),
    Registration::of::<vadd::VPush>(),
    Registration::of::<vget::VGet>(),
    Registration::of::<vmget::VMGet>(),
    Registration::of::<vall::VAll>(),
    Registration::of::<vset::VSet>(),
    Registration::of::<vpop::VPop>(),
    Registration::of::<vclear::VClear>(),
    Registration::of::<vsize::VSize>(),
    Registration::of::<vsize::VCount>(),
    Registration::of::<vsize::VLen>(),
    Registration::of::<describe::VItemSize>(),
    Registration::of::<describe::VType>(),
    Registration::of::<describe::VFilePath>(),
    Registration::of::<vstat::VStat>(),
    Registration::of::<vaddraw::VAddRaw>(),
    Registration::of::<vgetraw::VGetRaw>(),
    Registration::of::<vsetraw::VSetRaw>(),
    Registration::of::<vslice::VSlice>(),
    Registration::of::<vslice::VLast>(),
    Registration::of::<vfill::VFill>(),
    Registration::of::<vtrim::VTrim>(),
    Registration::of::<vincrby::VIncrBy>(),
    Registration::of::<vadvise::VAdvise>(),
    Registration::of::<vsync::VSync>(),
    Registration::of::<vreplicate::VReplicate>(),
    Registration::of::<vagg::VAgg>(),
    Registration::of::<vbuckets::VBuckets>(),
    Registration::of::<vfind::VFind>(),
    Registration::of::<vsearch::VSearch>(),
];

/// The command whose name a server may have for itself.
pub const VADD: Registration = Registration::of::<vadd::VAdd>();
