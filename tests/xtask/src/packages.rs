//! The programs that the tests and the fuzz targets need, from Debian's packages.
//!
//! Installs what is missing when run as root, and says so; otherwise names the packages and the command. MySQL is not
//! among them: [`unpacked`](crate::unpacked) has it.
//!
//! Leaves no system server behind: Debian's packages would start one of their own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;

use crate::{announce, succeed};

/// A program that something here calls, and the package that holds it.
pub(crate) struct Program {
    name: &'static str,
    package: &'static str,
}

/// What the servers and the tests call.
pub(crate) const TESTING: [Program; 13] = [
    Program { name: "initdb", package: "postgresql" },
    Program { name: "postgres", package: "postgresql" },
    Program { name: "psql", package: "postgresql-client" },
    Program { name: "pg_dump", package: "postgresql-client" },
    Program { name: "mariadbd", package: "mariadb-server-core" },
    Program { name: "mariadb-install-db", package: "mariadb-server-core" },
    Program { name: "mariadb-dump", package: "mariadb-client" },
    Program { name: "pgbouncer", package: "pgbouncer" },
    Program { name: "openssl", package: "openssl" },
    Program { name: "sqlite3", package: "sqlite3" },
    Program { name: "strace", package: "strace" },
    Program { name: "node", package: "nodejs" },
    Program { name: "npm", package: "npm" },
];

/// What the build of the fuzz targets calls.
pub(crate) const FUZZING: [Program; 1] = [Program { name: "c++", package: "g++" }];

/// Installs the packages of those programs that are not there.
pub(crate) fn install_missing(programs: &[Program]) -> Result<()> {
    let mut missing: Vec<&str> = programs
        .iter()
        .filter(|program| find(program.name).is_none())
        .map(|program| program.package)
        .collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    install_for("the tests", &missing)?;
    for program in programs {
        path_of(program.name)?;
    }
    Ok(())
}

/// Installs packages, or names them where that is not ours to do.
pub(crate) fn install_for(whom: &str, missing: &[&str]) -> Result<()> {
    let packages = missing.join(" ");
    if !geteuid().is_root() {
        bail!(
            "these Debian packages are needed for {whom}: {packages}\n\
             install them with `sudo apt-get install --no-install-recommends {packages}`"
        );
    }
    announce(&format!("installing missing packages: {packages}"));
    install(missing)
}

/// Returns the full path of a program, or an error that names its package.
pub(crate) fn path_of(name: &str) -> Result<PathBuf> {
    find(name).with_context(|| {
        let program = TESTING.iter().chain(&FUZZING).find(|program| program.name == name);
        let package = program.map_or("no package known here", |program| program.package);
        format!("`{name}` is not installed (Debian package: {package})")
    })
}

fn find(name: &str) -> Option<PathBuf> {
    search_path().into_iter().map(|directory| directory.join(name)).find(|path| path.is_file())
}

/// Returns where programs are looked for: PATH, the newest PostgreSQL, and the directories of system programs,
/// which an ordinary user's PATH leaves out.
///
/// PostgreSQL's own directory comes first, since what Debian puts into /usr/bin are wrappers that guess a cluster.
fn search_path() -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> = newest_postgres().into_iter().collect();
    directories.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    directories.extend(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from));
    directories
}

fn newest_postgres() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(Result::ok);
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|entry| entry.path()).max_by_key(|path| number(path))?;
    Some(newest.join("bin"))
}

fn install(packages: &[&str]) -> Result<()> {
    let _while_installing = [
        // Asked before a package starts its service: no.
        SystemFile::write_unless_there("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")?,
        SystemFile::write_unless_there(
            "/etc/postgresql-common/createcluster.d/whimbrel-tests.conf",
            "create_main_cluster = false\n",
        )?,
    ];
    let apt_get = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        command.args(["--quiet", "--quiet", "--option", "DPkg::Lock::Timeout=300"]);
        command
    };
    succeed(apt_get().arg("update"))?;
    succeed(apt_get().args(["install", "--yes", "--no-install-recommends"]).args(packages))
}

/// A file that is there only while packages are installed.
#[derive(Debug)]
struct SystemFile {
    path: Option<PathBuf>,
}

impl SystemFile {
    fn write_unless_there(path: &str, text: &str) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;

        let path = PathBuf::from(path);
        if path.exists() {
            return Ok(Self { path: None });
        }
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(Self { path: Some(path) })
    }
}

impl Drop for SystemFile {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // What is left behind does no harm, and there is nothing else to do about it.
            let _ = fs::remove_file(path);
        }
    }
}
