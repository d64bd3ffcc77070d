//! The fuzz targets, built and run for a while.
//!
//! `tests/fuzz` is a workspace of its own, in whose build every crate of the project counts its edges. The flags are those
//! of `cargo fuzz` without a sanitizer, so the pinned toolchain will do; this program stands before the compiler and adds
//! them. libFuzzer comes with its crate and needs a C++ compiler. The seeds and words of a target lie beside it, what it
//! makes of them in a folder that is thrown away.
//!
//! Keeps no corpus: an input that found something belongs into a test, or among the seeds, by hand.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use anyhow::{Context, Result, bail, ensure};

use crate::{announce, cargo, packages, succeed, target_directory, workspace};

/// What `cargo xtask fuzz --help` says.
pub(crate) const USAGE: &str = "usage: cargo xtask fuzz [--seconds N] [--seed N] [TARGET…]
       cargo xtask fuzz TARGET FILE…

Builds the fuzz targets of tests/fuzz and runs each TARGET (default: all) from the seeds in the repository. New inputs
are thrown away; one that breaks a target is kept below the target directory, and its name is said.

  --seconds N   how long each target runs (default: 60)
  --seed N      where the fuzzer's random numbers begin (default: 1)

With FILEs the target runs these inputs alone, once, and shows what happens.";

/// The variable that makes this program a wrapper around the compiler.
pub(crate) const WRAPPING: &str = "WHIMBREL_FUZZ_WRAPPER";

/// What the compiler is told: the doors are open, and every edge is counted where libFuzzer looks.
const FLAGS: [&str; 5] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
];

/// How long one input may take, in seconds. The longest takes milliseconds.
const TIMEOUT: u64 = 10;

/// What was asked for.
struct Wish {
    targets: Vec<String>,
    inputs: Vec<PathBuf>,
    time: Duration,
    seed: u32,
}

/// Runs the command of this name.
pub(crate) fn command(words: &[&str]) -> Result<ExitCode> {
    let wish = Wish::of(words)?;
    let programs = build()?;
    if wish.inputs.is_empty() {
        run(&programs, &wish)?;
    } else {
        let program = programs.join(&wish.targets[0]);
        succeed(Command::new(&program).args(&wish.inputs))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs all targets for a few seconds: enough for the seeds, and for what lies next to them.
pub(crate) fn short() -> Result<()> {
    let wish = Wish { targets: targets()?, inputs: Vec::new(), time: Duration::from_secs(5), seed: 1 };
    run(&build()?, &wish)
}

impl Wish {
    fn of(words: &[&str]) -> Result<Self> {
        let known = targets()?;
        let mut wish =
            Wish { targets: Vec::new(), inputs: Vec::new(), time: Duration::from_secs(60), seed: 1 };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut number = || -> Result<u32> {
                let number = words.next().and_then(|number| number.parse().ok());
                number.with_context(|| format!("`{word}` needs a whole number"))
            };
            match *word {
                "--seconds" => wish.time = Duration::from_secs(number()?.into()),
                "--seed" => wish.seed = number()?,
                target if known.iter().any(|known| known == target) => wish.targets.push(target.to_owned()),
                file if Path::new(file).is_file() => wish.inputs.push(fs::canonicalize(file)?),
                other => bail!("`{other}` is neither a file nor a target: {}\n\n{USAGE}", known.join(", ")),
            }
        }
        ensure!(
            wish.inputs.is_empty() || wish.targets.len() == 1,
            "name the one target of the files\n\n{USAGE}"
        );
        if wish.targets.is_empty() {
            wish.targets = known;
        }
        Ok(wish)
    }
}

fn package() -> PathBuf {
    workspace().join("tests/fuzz")
}

/// Returns the names of the targets.
fn targets() -> Result<Vec<String>> {
    let folder = package().join("src/bin");
    let files = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let paths = files.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    let mut names: Vec<String> =
        paths.iter().filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

/// Builds all targets and returns the folder of the programs.
fn build() -> Result<PathBuf> {
    packages::install_missing(&packages::FUZZING)?;
    let lock = package().join("Cargo.lock");
    if !lock.exists() {
        // The versions that everything else is built and tested with.
        fs::copy(workspace().join("Cargo.lock"), &lock).context("cannot write a lock file")?;
    }
    let target = target_directory()?.join("fuzz");
    announce("building the fuzz targets");
    let mut build = cargo();
    build.current_dir(package()).env("CARGO_TARGET_DIR", &target);
    build.env("RUSTC_WRAPPER", env::current_exe()?).env(WRAPPING, "yes");
    build.env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver");
    succeed(build.args(["build", "--bins"]))?;
    Ok(target.join("debug"))
}

/// Runs the compiler that cargo names, for the crates of this project with the flags of a fuzzer: what happens in the
/// crates of others leads the fuzzer away, and counting it makes each input ten times as slow.
pub(crate) fn compile() -> Result<ExitCode> {
    let mut words = env::args_os().skip(1);
    let mut compiler = Command::new(words.next().context("cargo names no compiler")?);
    compiler.args(words).env_remove(WRAPPING);
    if env::var("CARGO_PKG_NAME").is_ok_and(|package| package.starts_with("whimbrel")) {
        compiler.args(FLAGS);
    }
    // The targets themselves: clippy compiles them, so that its lints cost no build of their own.
    if env::var_os("CARGO_PRIMARY_PACKAGE").is_some() {
        compiler.arg("-Dwarnings");
    }
    Err(compiler.exec()).with_context(|| format!("cannot run {compiler:?}"))
}

/// Runs the targets, as many at once as there are processors, and tells of each how it went.
fn run(programs: &Path, wish: &Wish) -> Result<()> {
    let kept = target_directory()?.join("fuzz/found");
    fs::create_dir_all(&kept).with_context(|| format!("cannot create {}", kept.display()))?;
    announce(&format!("fuzzing each target for {} s, seed {}", wish.time.as_secs(), wish.seed));
    let waiting = Mutex::new(wish.targets.iter());
    let broken = Mutex::new(Vec::new());
    let work = || {
        let next = || waiting.lock().expect("no thread panics with it").next();
        while let Some(target) = next() {
            match fuzz(programs, target, wish, &kept) {
                Ok(summary) => announce(&format!("{target}: {summary}")),
                Err(error) => {
                    announce(&format!("{target} is broken: {error:#}"));
                    broken.lock().expect("no thread panics with it").push(target.as_str());
                }
            }
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from).min(wish.targets.len());
    thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    let broken = broken.into_inner().expect("no thread panicked with it");
    ensure!(broken.is_empty(), "broken: {}", broken.join(", "));
    Ok(())
}

/// Runs one target and returns what libFuzzer counted.
fn fuzz(programs: &Path, target: &str, wish: &Wish, kept: &Path) -> Result<String> {
    let found = tempfile::tempdir().context("cannot create a temporary directory")?;
    let seeds = package().join("corpus").join(target);
    let words = package().join("words").join(format!("{target}.dict"));
    let prefix = kept.join(format!("{target}-"));
    let mut program = Command::new(programs.join(target));
    program.current_dir(found.path()).arg(found.path()).arg(&seeds);
    program.arg(format!("-dict={}", words.display())).arg(format!("-artifact_prefix={}", prefix.display()));
    program.arg(format!("-seed={}", wish.seed)).arg(format!("-max_total_time={}", wish.time.as_secs()));
    program.args([format!("-timeout={TIMEOUT}"), "-rss_limit_mb=2048".to_owned()]);
    let start = Instant::now();
    let output = program.output().with_context(|| format!("cannot run {program:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let input =
            said.lines().find_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path);
        let replay = match input {
            Some(input) => {
                format!("\n\nthe input is kept; to run it again: cargo xtask fuzz {target} {input}")
            }
            None => String::new(),
        };
        bail!("{}\n{}{replay}", output.status, tail(&said));
    }
    let edges = |event: &str| {
        let line =
            said.lines().rfind(|line| line.split('\t').nth(1).is_some_and(|word| word.starts_with(event)))?;
        line.split_once("cov: ")?.1.split(' ').next()?.parse::<u64>().ok()
    };
    let (of_seeds, after) = (edges("INITED"), edges("DONE"));
    // Without coverage the fuzzer only throws dice, and says nothing about it.
    let (Some(of_seeds @ 1..), Some(after)) = (of_seeds, after) else {
        bail!(
            "the fuzzer sees no coverage: was the target built with the flags of this program?\n{}",
            tail(&said)
        );
    };
    let runs =
        said.lines().rev().find_map(|line| line.strip_prefix("Done ")?.split(' ').next()).unwrap_or("?");
    let seconds = start.elapsed().as_secs();
    Ok(format!("{runs} inputs in {seconds} s, {after} edges, {of_seeds} of them from the seeds"))
}

/// Returns the end of a long text.
fn tail(text: &str) -> String {
    const LINES: usize = 40;
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
