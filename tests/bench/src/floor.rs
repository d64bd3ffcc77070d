//! The floor: a program that sends exactly what the work needs, and nothing else.
//!
//! Reads and hashes the files, reads what was applied, and runs the rest, each file with its row in one transaction. No
//! checks, no plan, no messages, nothing for a failure. What takes longer than this is ours to answer for.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use mysql::prelude::Queryable;
use percent_encoding::percent_decode_str;
use postgres::{Client, Config, NoTls, SimpleQueryMessage};
use sha2::{Digest, Sha256};
use url::Url;

/// The largest message.
const LARGEST: usize = 256 * 1024;

const HISTORY: &str = "SELECT id, checksum FROM floor_history ORDER BY id";
const CREATE: &str =
    "CREATE TABLE IF NOT EXISTS floor_history (id varchar(200) PRIMARY KEY, checksum varchar(64) NOT NULL)";

/// How much is sent before an answer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sending {
    /// One migration.
    OneByOne,
    /// As many as fill a message.
    AtOnce,
}

/// A database that is spoken to in whole messages.
trait Wire {
    /// Returns the ids that were applied, or nothing where there is no table.
    fn history(&mut self) -> Result<Option<usize>>;
    /// Runs statements.
    fn send(&mut self, message: &str) -> Result<()>;
}

/// Applies what is pending in a folder, to one database after the other.
pub(crate) fn run(folder: &Path, sending: Sending, urls: &[String]) -> Result<()> {
    let scripts = read(folder)?;
    urls.iter().try_for_each(|url| up(&scripts, sending, url))
}

/// A migration: its id, its checksum and its text.
type Script = (String, String, String);

fn read(folder: &Path) -> Result<Vec<Script>> {
    let mut files: Vec<_> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.sort();
    let mut scripts = Vec::with_capacity(files.len());
    for file in &files {
        let text = fs::read_to_string(file)?;
        let digest: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
        let id = file.file_stem().context("a name")?.to_string_lossy().into_owned();
        scripts.push((id, digest, text));
    }
    Ok(scripts)
}

fn up(scripts: &[Script], sending: Sending, url: &str) -> Result<()> {
    let mut wire = open(url)?;
    let applied = match wire.history()? {
        Some(count) => count,
        None => {
            wire.send(CREATE)?;
            0
        }
    };
    let mut message = String::new();
    for (id, digest, text) in &scripts[applied..] {
        let row = format!("INSERT INTO floor_history VALUES ('{id}', '{digest}')");
        if text.len() > LARGEST {
            large(wire.as_mut(), text, &row)?;
            continue;
        }
        if message.len() + text.len() > LARGEST {
            wire.send(&std::mem::take(&mut message))?;
        }
        message.push_str(&format!("BEGIN;\n{text}{row};\nCOMMIT;\n"));
        if sending == Sending::OneByOne {
            wire.send(&std::mem::take(&mut message))?;
        }
    }
    if message.is_empty() { Ok(()) } else { wire.send(&message) }
}

/// Sends a large file in pieces, each of whole lines.
fn large(wire: &mut dyn Wire, text: &str, row: &str) -> Result<()> {
    wire.send("BEGIN")?;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.len().min(LARGEST);
        let end = rest[..end].rfind('\n').map_or(rest.len(), |line| line + 1);
        wire.send(&rest[..end])?;
        rest = &rest[end..];
    }
    wire.send(&format!("{row};\nCOMMIT"))
}

fn open(url: &str) -> Result<Box<dyn Wire>> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        return Ok(Box::new(rusqlite::Connection::open(path)?));
    }
    let url = Url::parse(url)?;
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (host, port) = (url.host_str().context("a host")?, url.port().context("a port")?);
    let (user, password) = (decoded(url.username()), decoded(url.password().unwrap_or_default()));
    let database = decoded(url.path().trim_start_matches('/'));
    match url.scheme() {
        "postgres" => {
            let mut config = Config::new();
            config.host(host).port(port).user(&user).password(password).dbname(&database);
            Ok(Box::new(config.connect(NoTls)?))
        }
        "mysql" => {
            let options = mysql::OptsBuilder::new()
                .ip_or_hostname(Some(host))
                .tcp_port(port)
                .user(Some(user))
                .pass(Some(password))
                .db_name(Some(database))
                .prefer_socket(false)
                .max_allowed_packet(Some(16 * 1024 * 1024));
            Ok(Box::new(mysql::Conn::new(options)?))
        }
        other => bail!("no floor for `{other}`"),
    }
}

impl Wire for Client {
    fn history(&mut self) -> Result<Option<usize>> {
        match self.simple_query(HISTORY) {
            Ok(rows) => {
                let is_row = |answer: &&SimpleQueryMessage| matches!(answer, SimpleQueryMessage::Row(_));
                Ok(Some(rows.iter().filter(is_row).count()))
            }
            Err(error) if error.code().is_some_and(|code| code.code() == "42P01") => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn send(&mut self, message: &str) -> Result<()> {
        Ok(self.batch_execute(message)?)
    }
}

impl Wire for mysql::Conn {
    fn history(&mut self) -> Result<Option<usize>> {
        match self.query::<(String, String), _>(HISTORY) {
            Ok(rows) => Ok(Some(rows.len())),
            Err(mysql::Error::MySqlError(error)) if error.code == 1146 => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn send(&mut self, message: &str) -> Result<()> {
        let mut answers = self.query_iter(message)?;
        while let Some(answer) = answers.iter() {
            answer.for_each(drop);
        }
        Ok(())
    }
}

impl Wire for rusqlite::Connection {
    fn history(&mut self) -> Result<Option<usize>> {
        let Ok(mut statement) = self.prepare(HISTORY) else { return Ok(None) };
        let ids = statement.query_map([], |row| row.get::<_, String>(0))?;
        Ok(Some(ids.collect::<Result<Vec<_>, _>>()?.len()))
    }

    fn send(&mut self, message: &str) -> Result<()> {
        let mut batch = rusqlite::Batch::new(self, message);
        while let Some(mut statement) = rusqlite::fallible_iterator::FallibleIterator::next(&mut batch)? {
            statement.raw_execute()?;
        }
        Ok(())
    }
}
