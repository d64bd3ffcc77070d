//! MySQL's server and clients, which Debian has in its unstable release alone.
//!
//! The packages are fetched once, with apt's own means and from the mirror that this machine uses already, and only what
//! the programs load is kept: in the target directory, with a data directory that is ready to be copied. Each program is
//! a script that calls the real one with the C library that it was built for. To take a newer version, delete the folder.
//!
//! Changes nothing of the machine: the list of sources, the index and the unpacked files are all in that folder. A server
//! that cannot be had is an error, since a run without it would say less than it seems to.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;

use crate::{announce, target_directory};

/// The release, whose version of MySQL moves.
const RELEASE: &str = "sid";

const PACKAGES: [&str; 2] = ["mysql-server-core", "mysql-client-core"];

/// The beginnings of the names of packages that hold libraries. What else the packages ask for is for a whole system.
const LIBRARIES: [&str; 2] = ["lib", "zlib"];

/// Parts of the names of packages that hold libraries of no use here, some of them large.
const USELESS: [&str; 3] = ["perl", "modules", "gconv"];

const PROGRAMS: [&str; 3] = ["sbin/mysqld", "bin/mysql", "bin/mysqldump"];

const AUTHORITY: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// How often fetching is tried. A mirror that is changing answers with files that do not fit together.
const TRIES: u32 = 3;

/// An unpacked MySQL.
#[derive(Debug)]
pub(crate) struct MySql {
    home: PathBuf,
}

impl MySql {
    /// Returns MySQL, and fetches it when it is not there.
    pub(crate) fn get() -> Result<Self> {
        let place = place()?;
        fs::create_dir_all(&place).with_context(|| format!("cannot create {}", place.display()))?;
        // Another run may be fetching at this moment.
        let lock = File::create(place.join("mysql.lock"))?;
        lock.lock().context("cannot wait for another run that fetches MySQL")?;
        let mysql = Self { home: place.join("mysql") };
        if !mysql.home.exists() {
            announce(&format!("fetching MySQL from Debian {RELEASE} into {}", mysql.home.display()));
            fetch(&place.join("mysql.part"), &mysql.home).context(
                "the tests need MySQL, and it cannot be had; apt-get and dpkg bring it from a Debian mirror, some 50 MB, once",
            )?;
        }
        announce(&format!("MySQL {}", mysql.version()?));
        Ok(mysql)
    }

    /// Returns the path of a program: `mysqld`, `mysql` or `mysqldump`.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.home.join("bin").join(name)
    }

    /// Returns the data directory that servers copy. Its administrator has no password.
    pub(crate) fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// Returns what the server must be told because it is not where it was built for.
    pub(crate) fn places(&self) -> [String; 3] {
        let share = self.home.join("share/mysql");
        [
            format!("--basedir={}", self.home.display()),
            format!("--lc-messages-dir={}", share.display()),
            format!("--character-sets-dir={}", share.join("charsets").display()),
        ]
    }

    fn version(&self) -> Result<String> {
        let said = output(Command::new(self.program("mysqld")).arg("--version"))
            .with_context(|| format!("delete {} to have it fetched again", self.home.display()))?;
        let version = said.split_whitespace().skip_while(|word| *word != "Ver").nth(1);
        Ok(version.context("mysqld does not tell its version")?.to_owned())
    }
}

/// Returns the folder of folders: the target directory's, or where the servers' user may not enter that, one of root's.
pub(crate) fn place() -> Result<PathBuf> {
    let tools = target_directory()?.join("tools");
    let open = |directory: &Path| {
        fs::metadata(directory).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
    };
    let may_be_entered = tools.ancestors().skip_while(|directory| !directory.exists()).all(open);
    // Only root's servers run as another user.
    Ok(if may_be_entered || !geteuid().is_root() { tools } else { "/var/cache/whimbrel-tests".into() })
}

fn fetch(part: &Path, home: &Path) -> Result<()> {
    let mut tried = 0;
    loop {
        tried += 1;
        match unpack(part) {
            Ok(()) => break,
            Err(error) if tried < TRIES => announce(&format!("fetching MySQL once more: {error:#}")),
            Err(error) => return Err(error),
        }
    }
    fs::rename(part.join("kept"), home).context("cannot keep what was unpacked")?;
    fs::remove_dir_all(part).context("cannot clear away what was fetched")
}

/// Makes the folder `kept` in an empty one.
fn unpack(part: &Path) -> Result<()> {
    if part.exists() {
        fs::remove_dir_all(part).with_context(|| format!("cannot remove {}", part.display()))?;
    }
    let [lists, packages, root, kept] = ["lists", "packages", "root", "kept"].map(|name| part.join(name));
    for directory in [&lists.join("partial"), &packages.join("partial"), &root, &kept] {
        fs::create_dir_all(directory)?;
    }
    fs::write(part.join("status"), "")?;
    let mirror = mirror()?;
    fs::write(part.join("sources"), format!("deb [signed-by={AUTHORITY}] {mirror} {RELEASE} main\n"))?;

    output(apt("apt-get", part).args(["update", "--error-on=any"]))?;
    let mut depends = apt("apt-cache", part);
    depends.args(["depends", "--recurse", "--important", "--no-suggests"]).args(PACKAGES);
    let depends = output(&mut depends)?;
    output(apt("apt-get", part).arg("download").args(wanted(&depends)).current_dir(&packages))?;
    for package in fs::read_dir(&packages)? {
        let package = package?.path();
        if package.extension().is_some_and(|extension| extension == "deb") {
            output(Command::new("dpkg").arg("--extract").arg(package).arg(&root))?;
        }
    }
    keep(&root.join("usr"), &kept)?;
    initialize(&kept)
}

/// Returns the mirror of Debian that this machine installs from.
fn mirror() -> Result<String> {
    let mut targets = Command::new("apt-get");
    targets.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]);
    let targets = output(&mut targets)?;
    let mirror = targets.lines().find(|uri| uri.trim_end_matches('/').ends_with("/debian"));
    mirror.map(str::to_owned).context("no mirror of Debian is among the sources of this machine's packages")
}

/// Returns a program of apt that sees `part` in the place of the machine's own state.
fn apt(program: &str, part: &Path) -> Command {
    let mut command = Command::new(program);
    let path = |name: &str| part.join(name).display().to_string();
    let settings = [
        ("Dir::Etc::SourceList", path("sources")),
        ("Dir::Etc::SourceParts", "-".to_owned()),
        ("Dir::Etc::Preferences", "-".to_owned()),
        ("Dir::Etc::PreferencesParts", "-".to_owned()),
        ("Dir::State::Lists", path("lists")),
        ("Dir::State::Status", path("status")),
        ("Dir::Cache", part.display().to_string()),
        ("Dir::Cache::Archives", path("packages")),
        ("Acquire::Languages", "none".to_owned()),
        ("Acquire::Retries", "3".to_owned()),
        // As root apt would fetch as a user of its own, who may not write here.
        ("APT::Sandbox::User", "root".to_owned()),
    ];
    for (name, value) in settings {
        command.arg(format!("--option={name}={value}"));
    }
    command.arg("--quiet=2");
    command
}

/// Returns the packages to fetch out of those that apt-cache lists, one to a line and its relations indented below.
fn wanted(depends: &str) -> Vec<&str> {
    let is_library = |name: &str| LIBRARIES.iter().any(|beginning| name.starts_with(beginning));
    let is_useless = |name: &str| USELESS.iter().any(|part| name.contains(part));
    depends.lines().filter(|name| PACKAGES.contains(name) || is_library(name) && !is_useless(name)).collect()
}

/// Copies the programs, the libraries that they load and the server's messages.
fn keep(unpacked: &Path, kept: &Path) -> Result<()> {
    for directory in ["bin", "lib", "programs", "share/mysql"] {
        fs::create_dir_all(kept.join(directory))?;
    }
    let libraries = matching(&unpacked.join("lib"), "-linux-gnu")?;
    let loader = matching(&libraries, "ld-linux")?;
    let loader_name = loader.file_name().context("the loader has a name")?;
    copy(&loader, &kept.join("lib").join(loader_name))?;
    for program in PROGRAMS {
        let program = unpacked.join(program);
        let name = program.file_name().context("a program has a name")?.to_string_lossy().into_owned();
        let mut list = Command::new(&loader);
        let list = output(list.arg("--library-path").arg(&libraries).arg("--list").arg(&program))?;
        // `libz.so.1 => PATH (ADDRESS)`; the loader itself stands there too.
        for line in list.lines() {
            let Some((library, path)) = line.trim().split_once(" => ") else { continue };
            let Some((path, _)) = path.split_once(" (") else { bail!("{library} is in no package: {path}") };
            if !library.starts_with('/') {
                copy(Path::new(path), &kept.join("lib").join(library))?;
            }
        }
        copy(&program, &kept.join("programs").join(&name))?;
        let script = kept.join("bin").join(&name);
        fs::write(&script, script_for(&name, &loader_name.to_string_lossy()))?;
        fs::set_permissions(&script, Permissions::from_mode(0o755))?;
    }
    for directory in ["charsets", "english"] {
        let from = unpacked.join("share/mysql").join(directory);
        output(Command::new("cp").arg("-R").arg(from).arg(kept.join("share/mysql")))?;
    }
    Ok(())
}

fn script_for(program: &str, loader: &str) -> String {
    format!(
        "#!/bin/sh\n\
         # Runs the program with the C library that it was built for.\n\
         home=$(dirname \"$(dirname \"$(readlink -f \"$0\")\")\")\n\
         exec \"$home/lib/{loader}\" --library-path \"$home/lib\" \"$home/programs/{program}\" \"$@\"\n"
    )
}

/// Makes the data directory that every server begins with.
///
/// The server refuses to be root unless told so; and whoever it runs as later must be able to copy what it made.
fn initialize(kept: &Path) -> Result<()> {
    let mysql = MySql { home: kept.to_owned() };
    let mut server = Command::new(mysql.program("mysqld"));
    server.args(["--no-defaults", "--initialize-insecure", "--innodb-use-native-aio=OFF"]);
    // What every run copies is to be small.
    server.args(["--innodb-redo-log-capacity=32M", "--innodb-doublewrite=0"]);
    if geteuid().is_root() {
        server.arg("--user=root");
    }
    output(server.args(mysql.places()).arg(format!("--datadir={}", mysql.data().display())))?;
    output(Command::new("chmod").args(["-R", "a+rX"]).arg(kept)).map(drop)
}

/// Returns the one entry of the directory whose name holds the text.
fn matching(directory: &Path, text: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut found = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().contains(text))
        .map(|entry| entry.path());
    found.next().with_context(|| format!("no `{text}` in {}", directory.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).with_context(|| format!("cannot copy {}", from.display()))
}

/// Runs a command and returns what it printed; anything but success is an error that shows what it said.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        let program = command.get_program().to_string_lossy().into_owned();
        bail!(
            "`{program}` ended with {}:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
