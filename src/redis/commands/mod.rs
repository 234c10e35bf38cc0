//! The commands, one file each. A doc comment gives the syntax, the reply and the errors.

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

use crate::redis::execution::command::register;
use crate::redis::server::context::Ctx;

/// Registers all commands; says whether the server has a `VADD` of its own.
///
/// # Errors
/// Names the command whose name is taken, by another module say.
pub fn register_all(ctx: &Ctx) -> Result<bool, String> {
    let registered = [
        ("MMAP", register::<mmap::Mmap>(ctx)),
        ("VPUSH", register::<vadd::VPush>(ctx)),
        ("VGET", register::<vget::VGet>(ctx)),
        ("VMGET", register::<vmget::VMGet>(ctx)),
        ("VALL", register::<vall::VAll>(ctx)),
        ("VSET", register::<vset::VSet>(ctx)),
        ("VPOP", register::<vpop::VPop>(ctx)),
        ("VCLEAR", register::<vclear::VClear>(ctx)),
        ("VSIZE", register::<vsize::VSize>(ctx)),
        ("VCOUNT", register::<vsize::VCount>(ctx)),
        ("VLEN", register::<vsize::VLen>(ctx)),
        ("VITEMSIZE", register::<describe::VItemSize>(ctx)),
        ("VTYPE", register::<describe::VType>(ctx)),
        ("VFILEPATH", register::<describe::VFilePath>(ctx)),
        ("VSTAT", register::<vstat::VStat>(ctx)),
        ("VADDRAW", register::<vaddraw::VAddRaw>(ctx)),
        ("VGETRAW", register::<vgetraw::VGetRaw>(ctx)),
        ("VSETRAW", register::<vsetraw::VSetRaw>(ctx)),
        ("VSLICE", register::<vslice::VSlice>(ctx)),
        ("VLAST", register::<vslice::VLast>(ctx)),
        ("VFILL", register::<vfill::VFill>(ctx)),
        ("VTRIM", register::<vtrim::VTrim>(ctx)),
        ("VINCRBY", register::<vincrby::VIncrBy>(ctx)),
        ("VADVISE", register::<vadvise::VAdvise>(ctx)),
        ("VSYNC", register::<vsync::VSync>(ctx)),
        ("VREPLICATE", register::<vreplicate::VReplicate>(ctx)),
        ("VAGG", register::<vagg::VAgg>(ctx)),
        ("VBUCKETS", register::<vbuckets::VBuckets>(ctx)),
        ("VFIND", register::<vfind::VFind>(ctx)),
        ("VSEARCH", register::<vsearch::VSearch>(ctx)),
    ];
    if let Some((name, _)) = registered.iter().find(|(_, done)| !done) {
        return Err(format!(
            "the command name {name} is taken: is another module with it loaded?"
        ));
    }
    Ok(!register::<vadd::VAdd>(ctx))
}
