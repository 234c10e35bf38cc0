//! A container's own file system: an overlay, a root that cannot be written to, and a user without any rights.

use std::os::unix::fs::{PermissionsExt, chown};

use tempfile::TempDir;

use crate::does_its_work;
use support::mounts::{be_private, run};
use support::{Server, Setup, cannot_run, doubles};

/// A user that nothing belongs to.
const NOBODY: u32 = 65534;

/// A server in such a container. A file of the image lies below it, `image.f64`, which belongs to root.
fn container() -> Result<(Server, TempDir), String> {
    be_private()?;
    let layers = tempfile::Builder::new()
        .prefix("mmap-layers-")
        .tempdir()
        .unwrap();
    let layer = |name| {
        let path = layers.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let (lower, upper, work) = (layer("lower"), layer("upper"), layer("work"));
    std::fs::write(
        lower.join("image.f64"),
        doubles((0..100_000).map(f64::from)),
    )
    .unwrap();
    chown(&upper, Some(NOBODY), Some(NOBODY)).unwrap();
    let setup = Server::setup().with_a_copy_of_the_module();
    let dir = setup.dir();
    std::fs::set_permissions(dir.parent().unwrap(), PermissionsExt::from_mode(0o755)).unwrap();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    let at = dir.to_str().unwrap();
    run("mount", &["-t", "overlay", "overlay", "-o", &options, at])?;
    Ok((without_rights(setup).start(), layers))
}

fn without_rights(setup: Setup) -> Setup {
    setup.launched_by(&[
        "unshare",
        "--mount",
        "sh",
        "-c",
        "mount -o remount,bind,ro / && exec \"$@\"",
        "sh",
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
        "--no-new-privs",
    ])
}

#[test]
fn a_container_without_rights_does_its_work() {
    let (db, _layers) = match container() {
        Ok(container) => container,
        Err(why) => return cannot_run(&why),
    };
    let status = std::fs::read_to_string(format!("/proc/{}/status", db.pid())).unwrap();
    assert!(status.contains("Uid:\t65534") && status.contains("CapEff:\t0000000000000000"));
    does_its_work(db, "(integer) 4096");
}

#[test]
fn a_file_of_the_image_is_read_by_threads_until_it_is_known_to_be_there() {
    let (db, _layers) = match container() {
        Ok(container) => container,
        Err(why) => return cannot_run(&why),
    };
    assert_eq!(db.int("MMAP image image.f64 double"), 100_000);
    // Nothing tells what is in RAM of another user's file on an overlay.
    let stat = db.ask("VSTAT image").to_string();
    assert!(stat.contains("resident, (nil)"), "{stat}");
    assert_eq!(db.say("VGET image 77777"), "77777");
    assert_eq!(db.say("VAGG image 0 -1 COUNT"), "[(integer) 100000]");
    assert!(db.stat("cold_waits") > 0);
    for index in 0..1100 {
        assert_eq!(db.say(&format!("VGET image {index}")), index.to_string());
    }
    let waits = db.stat("cold_waits");
    assert_eq!(db.say("VGET image 50000"), "50000");
    assert_eq!(db.stat("cold_waits"), waits, "it is not doubted for ever");
}

#[test]
fn a_system_without_proc_is_told_to_mount_it() {
    let hidden = "mount -t tmpfs none /proc && exec \"$@\"";
    let words = ["unshare", "--mount", "sh", "-c", hidden, "sh"];
    let refused = Server::setup().launched_by(&words).try_start();
    let error = refused.err().expect("the module is not loaded");
    if !error.contains("mmap") {
        return cannot_run(&error);
    }
    assert!(error.contains("/proc must be mounted"), "{error}");
}
