//! Whether anybody but those who are trusted anyway could have put a library where it is.
//!
//! A library runs with all rights of this program. Who can change the file, a folder on the way to it, or a link on that
//! way, can do whatever this program can: that must be nobody but the administrator, the user of this program, and whoever
//! owns the program itself. Their groups are taken for trusted too: which users are in them is not looked up.
//!
//! Looks at owners and modes alone, before any code of the file is run.

use std::path::Path;

/// Why a library is not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distrust {
    /// What is wrong, with the file or folder.
    pub(super) reason: String,
    /// What mends it.
    pub(super) cure: String,
}

/// Looks at a library, and at every folder and link on the way to it.
#[cfg(unix)]
pub(super) fn examine(library: &Path) -> Result<(), Distrust> {
    let Ok(named) = std::path::absolute(library) else { return Ok(()) };
    let trusted = Trusted::here();
    unix::way(&named).iter().try_for_each(|step| trusted.examine(step))
}

/// Nothing is known of other systems' rights here.
#[cfg(not(unix))]
pub(super) fn examine(_: &Path) -> Result<(), Distrust> {
    Ok(())
}

#[cfg(unix)]
use unix::Trusted;

#[cfg(unix)]
mod unix {
    use std::ffi::OsString;
    use std::os::unix::fs::MetadataExt;
    use std::path::{Path, PathBuf};

    use super::Distrust;

    const WRITABLE_BY_ALL: u32 = 0o002;
    /// In such a folder nobody can take away what belongs to another.
    const STICKY: u32 = 0o1000;
    const ROOT: u32 = 0;
    /// The system follows no more links than that either.
    const MOST_LINKS: usize = 40;

    /// Returns every folder and link that is passed on the way along an absolute path, and where it ends.
    pub(super) fn way(path: &Path) -> Vec<PathBuf> {
        let names = |path: &Path| path.components().rev().map(|name| name.as_os_str().to_owned()).collect();
        let mut ahead: Vec<OsString> = names(path);
        let (mut here, mut steps, mut links) = (PathBuf::new(), Vec::new(), 0);
        while let Some(name) = ahead.pop() {
            if name == ".." {
                here.pop();
                continue;
            }
            here.push(&name);
            steps.push(here.clone());
            if let Ok(target) = here.read_link()
                && links < MOST_LINKS
            {
                links += 1;
                here.pop();
                ahead.extend::<Vec<OsString>>(names(&target));
            }
        }
        steps
    }

    /// The users who may own what is loaded.
    pub(super) struct Trusted(pub(super) Vec<u32>);

    impl Trusted {
        /// The administrator, who runs this program, and who owns it.
        pub(super) fn here() -> Self {
            let program = std::env::current_exe().and_then(|program| program.metadata());
            let owner = program.map(|metadata| metadata.uid());
            let user = nix::unistd::geteuid().as_raw();
            Trusted([ROOT, user].into_iter().chain(owner).collect())
        }

        pub(super) fn examine(&self, path: &Path) -> Result<(), Distrust> {
            // What cannot be looked at cannot be loaded either, and says why then.
            let Ok(metadata) = path.symlink_metadata() else { return Ok(()) };
            let shown = path.display();
            let is_kept = metadata.is_dir() && metadata.mode() & STICKY != 0;
            // The mode of a link means nothing: it is its folder that says who can change it.
            if metadata.mode() & WRITABLE_BY_ALL != 0 && !is_kept && !metadata.is_symlink() {
                return Err(Distrust {
                    reason: format!("anybody can write to `{shown}`"),
                    cure: format!("take that right away with `chmod o-w {shown}`"),
                });
            }
            if !self.0.contains(&metadata.uid()) {
                let user = nix::unistd::geteuid();
                return Err(Distrust {
                    reason: format!(
                        "`{shown}` belongs to user {}, and this program runs as user {user}",
                        metadata.uid()
                    ),
                    cure: format!("if it is all right, make it yours with `chown {user} {shown}`"),
                });
            }
            Ok(())
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn reason(library: &Path) -> Option<String> {
        examine(library).err().map(|distrust| distrust.reason)
    }

    #[test]
    fn what_anybody_can_change_is_not_trusted() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let inner = folder.path().join("plugins");
        let library = inner.join("a.so");
        fs::create_dir(&inner).expect("the folder is ours");
        fs::write(&library, "").expect("the folder is ours");
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("the file is ours");
        };
        mode(&inner, 0o755);
        mode(&library, 0o664);
        assert_eq!(reason(&library), None);
        mode(&library, 0o646);
        assert_eq!(reason(&library), Some(format!("anybody can write to `{}`", library.display())));
        mode(&library, 0o644);
        mode(&inner, 0o777);
        assert_eq!(reason(&library), Some(format!("anybody can write to `{}`", inner.display())));
        // A link in such a folder could lead elsewhere tomorrow.
        let link = inner.join("link.so");
        let elsewhere = folder.path().join("b.so");
        fs::write(&elsewhere, "").expect("the folder is ours");
        symlink(&elsewhere, &link).expect("the folder is ours");
        assert_eq!(reason(&elsewhere), None);
        assert_eq!(reason(&link), Some(format!("anybody can write to `{}`", inner.display())));
        mode(&inner, 0o1777);
        assert_eq!(reason(&link), None);
    }

    #[test]
    fn every_link_and_its_folder_is_looked_at() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let [first, middle, last] = ["first", "middle", "last"].map(|name| folder.path().join(name));
        for path in [&first, &middle, &last] {
            fs::create_dir(path).expect("the folder is ours");
        }
        fs::write(last.join("a.so"), "").expect("the folder is ours");
        symlink("../last/a.so", middle.join("current.so")).expect("the folder is ours");
        symlink(middle.join("current.so"), first.join("a.so")).expect("the folder is ours");
        let steps = unix::way(&first.join("a.so"));
        for passed in [&first, &middle, &last, &middle.join("current.so"), &last.join("a.so")] {
            assert!(steps.contains(passed), "{steps:?}");
        }
        fs::set_permissions(&middle, Permissions::from_mode(0o777)).expect("the folder is ours");
        let expected = format!("anybody can write to `{}`", middle.display());
        assert_eq!(reason(&first.join("a.so")), Some(expected));
        // Nobody is kept by a circle.
        symlink("circle", folder.path().join("circle")).expect("the folder is ours");
        assert_eq!(reason(&folder.path().join("circle")), None);
    }

    #[test]
    fn a_link_of_a_stranger_is_not_trusted() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let link = folder.path().join("a.so");
        symlink("/nowhere", &link).expect("the folder is ours");
        let owner = link.symlink_metadata().expect("it is there").uid();
        assert_eq!(Trusted(vec![owner]).examine(&link), Ok(()));
        assert!(Trusted(vec![owner + 1]).examine(&link).is_err());
    }

    #[test]
    fn what_belongs_to_a_stranger_is_not_trusted() {
        let file = tempfile::NamedTempFile::new().expect("a file for the test");
        let owner = file.as_file().metadata().expect("it is open").uid();
        assert_eq!(Trusted(vec![owner]).examine(file.path()), Ok(()));
        let distrust = Trusted(vec![owner + 1]).examine(file.path()).expect_err("another user's");
        assert!(distrust.reason.contains(&format!("belongs to user {owner}, and this program runs as user")));
        assert!(distrust.cure.contains("`chown "));
    }
}
