//! What is made of what the machine and servers say.
use std::path::Path;

use super::{State, machine, proxy, servers};

#[test]
fn few_files_are_a_warning() {
    assert_eq!(machine::files(1024).state, State::Warning);
    assert_eq!(machine::files(200_000).state, State::Good);
}

#[test]
fn a_bound_above_the_memory_is_bad_and_none_a_warning() {
    let gib = |n: u64| Some(n << 30);
    assert_eq!(machine::beside(gib(3), gib(4)).state, State::Good);
    assert_eq!(machine::beside(gib(4), gib(4)).state, State::Bad);
    assert_eq!(machine::beside(None, gib(4)).state, State::Warning);
    assert_eq!(machine::beside(None, None).state, State::Warning);
}

#[test]
fn df_is_read_from_the_right() {
    let text = "Filesystem 1024-blocks Used Available Capacity Mounted on\n//host/a share 100 40 60 40% /mnt\n";
    assert_eq!(machine::free(text), Some(60 * 1024));
    assert_eq!(machine::free("Filesystem\n"), None);
}

#[test]
fn the_deepest_mount_counts() {
    let mounts = "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
                  30 22 0:40 / /srv rw shared:1 - nfs4 host:/srv rw\n\
                  31 30 0:41 / /srv/data rw - xfs /dev/vdb rw\n";
    let kind = |path: &str| machine::mounted(mounts, Path::new(path));
    assert_eq!(kind("/srv/data/x").as_deref(), Some("xfs"));
    assert_eq!(kind("/srv/database").as_deref(), Some("nfs4"));
    assert_eq!(kind("/home").as_deref(), Some("ext4"));
}

#[test]
fn clocks_that_are_apart_are_told() {
    assert_eq!(servers::apart("x", Some(10_000), 11_000).state, State::Good);
    let apart = servers::apart("x", Some(10_000), 110_000);
    assert_eq!(apart.state, State::Warning);
    assert!(apart.said.contains("100 s apart"), "{}", apart.said);
}

#[test]
fn the_session_is_read_out_of_the_open_packet() {
    assert_eq!(proxy::sid(br#"0{"sid":"abc","upgrades":[]}"#).as_deref(), Some("abc"));
    for other in [&b"<html>"[..], b"0{}", b"1", b"\xff"] {
        assert_eq!(proxy::sid(other), None);
    }
}
