use super::*;

fn scratch(name: &str) -> DataDir {
    let path = std::env::temp_dir().join(format!("ringlog-fs-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    DataDir::create(path).unwrap()
}

#[test]
fn a_directory_does_what_it_is_told() {
    let dir = scratch("directory");
    dir.create_dir("a/b").unwrap();
    dir.replace("a/b/one", b"first").unwrap();
    dir.replace("a/b/one", b"second").unwrap();
    assert_eq!(dir.read_file("a/b/one").unwrap(), b"second");
    dir.write_at("a/b/two", 4096, b"x").unwrap();
    dir.sync_file("a/b/two").unwrap();
    dir.sync_dir("a/b").unwrap();
    let mut bytes = [7; 4];
    assert_eq!(dir.read_at("a/b/two", 4095, &mut bytes).unwrap(), 2);
    assert_eq!(bytes, [0, b'x', 7, 7]);
    dir.truncate("a/b/two", 10).unwrap();
    assert_eq!(dir.size("a/b/two").unwrap(), 10);
    let listed = dir.list("a/b").unwrap();
    let one = Entry { name: "one".into(), is_dir: false, bytes: 6 };
    assert_eq!(listed, [one, Entry { name: "two".into(), is_dir: false, bytes: 10 }]);
    dir.rename("a/b/two", "a/three").unwrap();
    dir.remove("a/three").unwrap();
    assert!(!dir.exists("a/three").unwrap());
    dir.remove_dir_all("a").unwrap();
    assert!(dir.list("").unwrap().is_empty());
    std::fs::remove_dir_all(dir.root()).unwrap();
}

#[test]
#[should_panic(expected = "stays inside the data directory")]
fn a_path_that_leaves_is_a_bug() {
    scratch("outside").path("../passwd");
}

#[test]
fn direct_files_open_and_grow() {
    let dir = scratch("direct");
    let file = dir.open_direct("log", OpenMode::CreateNew).unwrap();
    file.allocate(0, 1 << 20).unwrap();
    assert_eq!(file.size().unwrap(), 1 << 20);
    assert!(dir.open_direct("log", OpenMode::CreateNew).is_err());
    if let Some(alignment) = file.alignment().unwrap() {
        assert!(alignment.offset.is_power_of_two());
    }
    std::fs::remove_dir_all(dir.root()).unwrap();
}

#[test]
fn a_lock_is_refused_to_another_process() {
    let dir = scratch("lock");
    let lock = dir.lock(".lock").unwrap();
    assert!(lock.is_some());
    // Python asks in the same way as Java's FileChannel does: fcntl(F_SETLK).
    let script = "import fcntl,sys\nf=open(sys.argv[1],'r+')\n\
        try:\n fcntl.lockf(f,fcntl.LOCK_EX|fcntl.LOCK_NB)\nexcept OSError:\n sys.exit(7)";
    let path = dir.path(".lock");
    let ask = std::process::Command::new("python3").arg("-c").arg(script).arg(path).status();
    if let Ok(status) = ask {
        assert_eq!(status.code(), Some(7));
    }
    std::fs::remove_dir_all(dir.root()).unwrap();
}

#[test]
fn random_bytes_differ() {
    let (mut one, mut two) = ([0; 16], [0; 16]);
    random(&mut one).unwrap();
    random(&mut two).unwrap();
    assert_ne!(one, two);
}
