//! What a url says.
//!
//! Reads urls as libpq does: percent-encoding, several hosts, IPv6, sockets, every parameter that this adapter can
//! honour. The result is all that [`session`](crate::session) and [`tls`](crate::tls) need to connect.
//!
//! Reads no environment, no file and no network: a password that the url leaves out comes from the host. Never
//! quotes the part before the host: a password with a forgotten `%40` ends up in the oddest places.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, SslNegotiation};
use whimbrel_adapter_api::{ConnectOptions, Error, ErrorKind, Secret};

use crate::pgpass::{self, Login};

/// Everything that is needed to connect.
#[derive(Clone)]
pub(crate) struct Settings {
    /// User, password, database and session parameters; no hosts and no TLS mode.
    pub(crate) config: Config,
    /// The name for the session, where the url gives one.
    pub(crate) application: Option<String>,
    /// Where the server may be, in the order to try.
    pub(crate) targets: Vec<Target>,
    /// How the connection is protected.
    pub(crate) tls: Tls,
    /// What the server must be.
    pub(crate) attributes: Attributes,
    /// How long one attempt may take; `None` waits for ever.
    pub(crate) timeout: Option<Duration>,
    /// The text of the password file, where neither the url nor the environment has a password.
    password_file: Option<Secret>,
}

impl Settings {
    /// Takes the password from elsewhere where the url has none.
    pub(crate) fn complete(&mut self, options: &ConnectOptions) {
        match &options.password {
            _ if self.config.get_password().is_some() => {}
            Some(password) => drop(self.config.password(password.reveal())),
            None => self.password_file.clone_from(&options.password_file),
        }
    }

    /// Returns the password that the password file has for one of the servers.
    pub(crate) fn password_at(&self, target: &Target) -> Option<String> {
        let user = self.config.get_user()?;
        let login = Login { target, database: self.config.get_dbname().unwrap_or(user), user };
        pgpass::password(self.password_file.as_ref()?.reveal(), &login)
    }
}

/// One place where the server may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The host's name, address or socket folder.
    pub(crate) host: String,
    /// The address to use instead of looking the host up.
    pub(crate) address: Option<IpAddr>,
    /// The port.
    pub(crate) port: u16,
}

impl Target {
    /// Returns whether the host is the folder of a Unix socket.
    pub(crate) fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// Returns what a password file may call the host: the usual sockets are `localhost` there.
    pub(crate) fn password_file_hosts(&self) -> Vec<String> {
        let usual = SOCKET_FOLDERS.split(',').any(|folder| folder == self.host);
        usual.then(|| "localhost".to_owned()).into_iter().chain([self.host.clone()]).collect()
    }
}

/// How the connection is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    pub(crate) mode: TlsMode,
    pub(crate) check: Check,
    pub(crate) roots: Roots,
    pub(crate) client: Option<ClientCertificate>,
    pub(crate) sni: Sni,
}

/// Whether TLS is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsMode {
    Never,
    IfRefusedWithout,
    IfPossible,
    Always,
}

/// What is checked about the server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Nothing,
    Chain,
    ChainAndName,
}

/// Whom to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Roots {
    System,
    File(PathBuf),
}

/// What the client shows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Whether the host's name is sent in the clear at the start of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sni {
    Sent,
    Withheld,
}

/// What kind of server is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attributes {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

/// The folders in which distributions and the project itself put the socket, for a url without a host.
const SOCKET_FOLDERS: &str = "/var/run/postgresql,/tmp";

/// How long one attempt may take where the url does not say. libpq waits for ever.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection is silent before the system asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Parameters that libpq knows and that change nothing here.
const WITHOUT_EFFECT: &[&str] =
    &["client_encoding", "gssencmode", "gssdelegation", "krbsrvname", "sslcompression", "requirepeer"];

/// Parameters that libpq knows and that would be dangerous to pass over.
const NOT_SUPPORTED: &[&str] = &[
    "gsslib",
    "max_protocol_version",
    "min_protocol_version",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_issuer",
    "oauth_scope",
    "passfile",
    "replication",
    "require_auth",
    "scram_client_key",
    "scram_server_key",
    "service",
    "servicefile",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcertmode",
    "sslcrl",
    "sslcrldir",
    "sslkeylogfile",
    "sslpassword",
];

/// Reads a url.
///
/// # Errors
///
/// `InvalidUrl`, naming the part at fault.
pub(crate) fn parse(url: &str) -> Result<Settings, Error> {
    let mut parameters = split(url)?;
    let mut take = |name: &str| parameters.remove(name).filter(|value| !value.is_empty());
    let mut config = Config::new();
    // Compared with the placeholder before anything else is looked at: it is the most likely mistake by far.
    for (part, value) in [("user", take("user")), ("password", take("password")), ("dbname", take("dbname"))]
    {
        let Some(value) = value else {
            if part == "user" {
                return Err(invalid("the url names no user").with_hint("write postgres://USER@HOST/DATABASE"));
            }
            continue;
        };
        no_placeholder(part, &value)?;
        match part {
            "user" => config.user(value),
            "password" => config.password(value),
            _ => config.dbname(value),
        };
    }
    let targets = targets(take("host"), take("hostaddr"), take("port"))?;
    let tls = tls(&mut take)?;
    let attributes = choice(
        "target_session_attrs",
        take("target_session_attrs"),
        Attributes::Any,
        &[
            ("any", Attributes::Any),
            ("read-write", Attributes::ReadWrite),
            ("read-only", Attributes::ReadOnly),
            ("primary", Attributes::Primary),
            ("standby", Attributes::Standby),
            ("prefer-standby", Attributes::PreferStandby),
        ],
    )?;
    session(&mut config, &mut take)?;
    let timeout = match number::<u64>("connect_timeout", take("connect_timeout"))? {
        Some(0) => None,
        // As in libpq: less than two seconds is no time for a handshake.
        Some(seconds) => Some(Duration::from_secs(seconds.max(2))),
        None => Some(TIMEOUT),
    };
    let fallback = take("fallback_application_name");
    let application = take("application_name").or(fallback);
    nothing_left(&parameters)?;
    Ok(Settings { config, application, targets, tls, attributes, timeout, password_file: None })
}

/// Cuts the url into its parameters; user, password, host, port and database are parameters too.
fn split(url: &str) -> Result<BTreeMap<String, String>, Error> {
    let rest = ["postgresql://", "postgres://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let Some(mut rest) = rest else {
        return Err(invalid("the url does not begin with `postgres://` or `postgresql://`"));
    };
    let mut parameters = BTreeMap::new();
    if let Some(end) = rest.find(['@', '/']).filter(|end| rest[*end..].starts_with('@')) {
        let (user, password) = rest[..end].split_once(':').unwrap_or((&rest[..end], ""));
        parameters.insert("user".to_owned(), decode("user", user)?);
        parameters.insert("password".to_owned(), decode("password", password)?);
        rest = &rest[end + 1..];
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    hosts(&rest[..end], &mut parameters)?;
    rest = &rest[end..];
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if let Some(database) = path.strip_prefix('/') {
        parameters.insert("dbname".to_owned(), decode("database", database)?);
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(invalid("a parameter of the url has no `=`"));
        };
        let name = decode("parameters", name)?;
        let value = decode("parameters", value)?;
        match (name.as_str(), value.as_str()) {
            // An empty host means the host's default and must not hide the one before the path.
            ("ssl", "true") => parameters.insert("sslmode".to_owned(), "require".to_owned()),
            _ => parameters.insert(name, value),
        };
    }
    Ok(parameters)
}

/// Reads `host:port,host:port` into two lists, as the parameters `host` and `port` have them.
fn hosts(authority: &str, parameters: &mut BTreeMap<String, String>) -> Result<(), Error> {
    if authority.is_empty() {
        return Ok(());
    }
    if authority.contains('@') {
        return Err(in_password("@", "%40"));
    }
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for part in authority.split(',') {
        let (host, port) = match part.strip_prefix('[').map(|inside| inside.split_once(']')) {
            Some(Some((host, ""))) => (host, ""),
            Some(Some((host, port))) => {
                let port =
                    port.strip_prefix(':').ok_or_else(|| invalid("`]` is not followed by `:` and a port"))?;
                (host, port)
            }
            Some(None) => return Err(invalid("the host begins with `[` and has no `]`")),
            None => part.split_once(':').unwrap_or((part, "")),
        };
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(in_password("/", "%2F"));
        }
        hosts.push(decode("host", host)?);
        ports.push(port.to_owned());
    }
    parameters.insert("host".to_owned(), hosts.join(","));
    parameters.insert("port".to_owned(), ports.join(","));
    Ok(())
}

fn targets(
    hosts: Option<String>,
    addresses: Option<String>,
    ports: Option<String>,
) -> Result<Vec<Target>, Error> {
    let addresses: Vec<Option<IpAddr>> = match &addresses {
        None => Vec::new(),
        Some(list) => list.split(',').map(address).collect::<Result<_, _>>()?,
    };
    let hosts = match hosts {
        Some(hosts) => hosts,
        // Without a name there is still the address to check a certificate against.
        None if !addresses.is_empty() => {
            let names: Vec<String> = addresses.iter().flatten().map(ToString::to_string).collect();
            names.join(",")
        }
        None => SOCKET_FOLDERS.to_owned(),
    };
    let hosts: Vec<&str> = hosts.split(',').collect();
    if !addresses.is_empty() && addresses.len() != hosts.len() {
        return Err(invalid("`hostaddr` does not have as many entries as there are hosts"));
    }
    let ports: Vec<u16> = match &ports {
        None => Vec::new(),
        Some(list) => list.split(',').map(port).collect::<Result<_, _>>()?,
    };
    if ports.len() > 1 && ports.len() != hosts.len() {
        return Err(invalid("there are not as many ports as hosts"));
    }
    let port_of = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(DEFAULT_PORT);
    let mut targets = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        no_placeholder("host", host)?;
        let folders = if host.is_empty() { SOCKET_FOLDERS } else { host };
        let address = addresses.get(index).copied().flatten();
        let target = |host: &str| Target { host: host.to_owned(), address, port: port_of(index) };
        targets.extend(folders.split(',').map(target));
    }
    Ok(targets)
}

const DEFAULT_PORT: u16 = 5432;

fn address(text: &str) -> Result<Option<IpAddr>, Error> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| invalid("`hostaddr` is not an address")),
    }
}

fn port(text: &str) -> Result<u16, Error> {
    match text {
        "" => Ok(DEFAULT_PORT),
        text => text
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| invalid("the port is not a number from 1 to 65535")),
    }
}

fn tls(take: &mut dyn FnMut(&str) -> Option<String>) -> Result<Tls, Error> {
    let roots = match take("sslrootcert") {
        Some(system) if system == "system" => Some(Roots::System),
        Some(path) => Some(Roots::File(path.into())),
        None => None,
    };
    let system = roots == Some(Roots::System);
    // A root certificate that was named is used, as libpq does for reasons of old.
    let weak = if roots.is_some() { Check::Chain } else { Check::Nothing };
    let default = if system { (TlsMode::Always, Check::ChainAndName) } else { (TlsMode::IfPossible, weak) };
    let (mode, check) = choice(
        "sslmode",
        take("sslmode"),
        default,
        &[
            ("disable", (TlsMode::Never, Check::Nothing)),
            ("allow", (TlsMode::IfRefusedWithout, weak)),
            ("prefer", (TlsMode::IfPossible, weak)),
            ("require", (TlsMode::Always, weak)),
            ("verify-ca", (TlsMode::Always, Check::Chain)),
            ("verify-full", (TlsMode::Always, Check::ChainAndName)),
        ],
    )?;
    if system && check != Check::ChainAndName {
        // Anybody can get a certificate that these roots trust, for a name of his own.
        return Err(invalid("`sslrootcert=system` needs `sslmode=verify-full`"));
    }
    let client = match (take("sslcert"), take("sslkey")) {
        (None, None) => None,
        (Some(certificate), Some(key)) => {
            Some(ClientCertificate { certificate: certificate.into(), key: key.into() })
        }
        _ => return Err(invalid("`sslcert` and `sslkey` belong together")),
    };
    let sni = choice("sslsni", take("sslsni"), Sni::Sent, &[("1", Sni::Sent), ("0", Sni::Withheld)])?;
    Ok(Tls { mode, check, roots: roots.unwrap_or(Roots::System), client, sni })
}

fn session(config: &mut Config, take: &mut dyn FnMut(&str) -> Option<String>) -> Result<(), Error> {
    if let Some(options) = take("options") {
        config.options(options);
    }
    config.channel_binding(choice(
        "channel_binding",
        take("channel_binding"),
        ChannelBinding::Prefer,
        &[
            ("disable", ChannelBinding::Disable),
            ("prefer", ChannelBinding::Prefer),
            ("require", ChannelBinding::Require),
        ],
    )?);
    config.ssl_negotiation(choice(
        "sslnegotiation",
        take("sslnegotiation"),
        SslNegotiation::Postgres,
        &[("postgres", SslNegotiation::Postgres), ("direct", SslNegotiation::Direct)],
    )?);
    // The driver would let two hours pass before it asks whether the other side is still there.
    config.keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE / 6).keepalives_retries(6);
    if let Some(keepalives) = number::<u32>("keepalives", take("keepalives"))? {
        config.keepalives(keepalives != 0);
    }
    if let Some(seconds) = number("keepalives_idle", take("keepalives_idle"))?.filter(|seconds| *seconds > 0)
    {
        config.keepalives_idle(Duration::from_secs(seconds));
    }
    if let Some(seconds) =
        number("keepalives_interval", take("keepalives_interval"))?.filter(|seconds| *seconds > 0)
    {
        config.keepalives_interval(Duration::from_secs(seconds));
    }
    if let Some(count) = number("keepalives_count", take("keepalives_count"))?.filter(|count| *count > 0) {
        config.keepalives_retries(count);
    }
    if let Some(milliseconds) = number("tcp_user_timeout", take("tcp_user_timeout"))? {
        config.tcp_user_timeout(Duration::from_millis(milliseconds));
    }
    // One attempt of one runner: there is no load to balance, so the order of the url is as good as any.
    choice("load_balance_hosts", take("load_balance_hosts"), (), &[("disable", ()), ("random", ())])
}

fn nothing_left(parameters: &BTreeMap<String, String>) -> Result<(), Error> {
    for (name, value) in parameters {
        let known = ["user", "password", "dbname", "host", "port"].contains(&name.as_str());
        let empty = value.is_empty() && known;
        let harmless = match name.as_str() {
            "gssencmode" => value != "require",
            "client_encoding" => ["auto", "utf8", "utf-8"].contains(&value.to_lowercase().as_str()),
            other => WITHOUT_EFFECT.contains(&other),
        };
        if empty || harmless {
            continue;
        }
        return Err(unknown(name));
    }
    Ok(())
}

fn unknown(name: &str) -> Error {
    // What is no word may be a piece of a password that was not encoded.
    let word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !word || name.is_empty() {
        return invalid("the url has a parameter that is unknown");
    }
    if NOT_SUPPORTED.contains(&name) || WITHOUT_EFFECT.contains(&name) {
        return invalid(format!("the url's parameter `{name}` is not supported with this value"));
    }
    let error = invalid(format!("the url has the unknown parameter `{name}`"));
    match name {
        "pgbouncer" | "connection_limit" | "schema" | "pool_timeout" | "statement_cache_size" => {
            error.with_hint("remove it: it is meant for another client, and a pooler needs no setting here")
        }
        _ => error,
    }
}

fn choice<T: Copy>(name: &str, value: Option<String>, default: T, choices: &[(&str, T)]) -> Result<T, Error> {
    let Some(value) = value else { return Ok(default) };
    let found = choices.iter().find(|(word, _)| *word == value);
    found.map(|(_, choice)| *choice).ok_or_else(|| {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        invalid(format!("the url's parameter `{name}` is none of {}", words.join(", ")))
    })
}

fn number<T: FromStr>(name: &str, value: Option<String>) -> Result<Option<T>, Error> {
    let parse = |value: String| {
        value
            .trim()
            .parse()
            .map_err(|_| invalid(format!("the url's parameter `{name}` is not a whole number")))
    };
    value.map(parse).transpose()
}

fn decode(part: &str, text: &str) -> Result<String, Error> {
    let bytes = text.as_bytes();
    let hex = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_hexdigit);
    let broken = bytes.iter().enumerate().any(|(at, byte)| *byte == b'%' && !(hex(at + 1) && hex(at + 2)));
    if broken {
        let error =
            invalid(format!("the {part} in the url has a `%` without two hexadecimal digits behind it"));
        return Err(error.with_hint("a `%` that is meant is written `%25`"));
    }
    match percent_decode_str(text).decode_utf8() {
        Ok(text) if text.contains('\0') => Err(invalid(format!("the {part} in the url holds a zero byte"))),
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(invalid(format!("the {part} in the url is not UTF-8 text"))),
    }
}

/// Refuses `[YOUR-PASSWORD]` and its like, which the Supabase console puts where the reader should write.
fn no_placeholder(part: &str, value: &str) -> Result<(), Error> {
    let inside = |open: char, close: char| {
        let (_, rest) = value.split_once(open)?;
        rest.split_once(close).map(|(inside, _)| inside)
    };
    let shouted = |text: &str| {
        let letters = text.bytes().filter(u8::is_ascii_uppercase).count() > 1;
        letters && text.bytes().all(|byte| byte.is_ascii_uppercase() || b"-_ ".contains(&byte))
    };
    let found =
        [('[', ']'), ('<', '>'), ('{', '}')].into_iter().filter_map(|(open, close)| inside(open, close));
    if found.into_iter().any(shouted) {
        let error = invalid(format!("the {part} in the url is still a placeholder"));
        return Err(error.with_hint("put the real value there; special characters are percent-encoded"));
    }
    Ok(())
}

fn in_password(character: &str, encoded: &str) -> Error {
    let hint = format!("where the password has a `{character}`, the url must have `{encoded}`");
    invalid("the host and port in the url cannot be told apart from the password").with_hint(hint)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidUrl, message)
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::Config;

    use super::*;

    fn read(url: &str) -> Settings {
        parse(url).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    fn refused(url: &str) -> Error {
        let error = parse(url).err().unwrap_or_else(|| panic!("{url} was taken"));
        assert_eq!(error.kind, ErrorKind::InvalidUrl, "{url}");
        error
    }

    fn places(settings: &Settings) -> Vec<(&str, u16)> {
        settings.targets.iter().map(|target| (target.host.as_str(), target.port)).collect()
    }

    fn names(config: &Config) -> (Option<&str>, Option<&[u8]>, Option<&str>) {
        (config.get_user(), config.get_password(), config.get_dbname())
    }

    #[test]
    fn every_part_is_decoded() {
        let settings =
            read("postgres://a%40b:p%2F%C3%A4%25@[2001:db8::1]:5433/my%20db?application_name=x%26y");
        assert_eq!(names(&settings.config), (Some("a@b"), Some("p/ä%".as_bytes()), Some("my db")));
        assert_eq!(places(&settings), [("2001:db8::1", 5433)]);
        assert_eq!(settings.application.as_deref(), Some("x&y"));
    }

    #[test]
    fn several_hosts_keep_their_ports() {
        assert_eq!(places(&read("postgresql://u@a:1,b,[::1]:3/d")), [("a", 1), ("b", 5432), ("::1", 3)]);
        assert_eq!(places(&read("postgresql://u@/d?host=a,b&port=7")), [("a", 7), ("b", 7)]);
    }

    #[test]
    fn sockets_are_folders() {
        let expected = [("/run/postgresql", 5432)];
        assert_eq!(places(&read("postgres:///db?host=/run/postgresql&user=u")), expected);
        assert_eq!(places(&read("postgres://u@%2Frun%2Fpostgresql/db")), expected);
        assert_eq!(places(&read("postgres://u@/db")), [("/var/run/postgresql", 5432), ("/tmp", 5432)]);
    }

    #[test]
    fn the_pooler_of_supabase_is_taken() {
        let settings =
            read("postgresql://postgres.abcd:s3cret@aws-0-eu-west-1.pooler.supabase.com:6543/postgres");
        let secret: &[u8] = b"s3cret";
        assert_eq!(names(&settings.config), (Some("postgres.abcd"), Some(secret), Some("postgres")));
        assert_eq!(places(&settings), [("aws-0-eu-west-1.pooler.supabase.com", 6543)]);
        assert_eq!(settings.tls.mode, TlsMode::IfPossible);
    }

    #[test]
    fn tls_modes_mean_what_they_mean_to_libpq() {
        let tls = |query: &str| read(&format!("postgres://u@h/d?{query}")).tls;
        let told = |query: &str| (tls(query).mode, tls(query).check);
        assert_eq!(told("sslmode=disable"), (TlsMode::Never, Check::Nothing));
        assert_eq!(told("sslmode=allow"), (TlsMode::IfRefusedWithout, Check::Nothing));
        assert_eq!(told(""), (TlsMode::IfPossible, Check::Nothing));
        assert_eq!(told("sslmode=require"), (TlsMode::Always, Check::Nothing));
        assert_eq!(told("ssl=true"), (TlsMode::Always, Check::Nothing));
        assert_eq!(told("sslmode=require&sslrootcert=ca.pem"), (TlsMode::Always, Check::Chain));
        assert_eq!(told("sslmode=verify-ca"), (TlsMode::Always, Check::Chain));
        assert_eq!(told("sslmode=verify-full"), (TlsMode::Always, Check::ChainAndName));
        assert_eq!(told("sslrootcert=system"), (TlsMode::Always, Check::ChainAndName));
        assert_eq!(tls("sslmode=verify-full").roots, Roots::System);
        refused("postgres://u@h/d?sslmode=require&sslrootcert=system");
        refused("postgres://u@h/d?sslcert=c.pem");
    }

    #[test]
    fn only_the_user_must_be_named() {
        assert_eq!(refused("postgres://host/db").message, "the url names no user");
        let settings = read("postgres://u@");
        assert_eq!(names(&settings.config), (Some("u"), None, None));
    }

    #[test]
    fn an_unknown_parameter_is_named() {
        let error = refused("postgres://u@h/d?sslmod=require");
        assert_eq!(error.message, "the url has the unknown parameter `sslmod`");
        assert!(refused("postgres://u@h/d?pgbouncer=true").hint.is_some());
        assert!(refused("postgres://u@h/d?passfile=x").message.contains("`passfile`"));
    }

    #[test]
    fn a_placeholder_is_recognised() {
        let error = refused("postgresql://postgres:[YOUR-PASSWORD]@db.abcd.supabase.co:5432/postgres");
        assert_eq!(error.message, "the password in the url is still a placeholder");
        refused("postgresql://postgres.[PROJECT_REF]:x@h:6543/postgres");
        refused("postgresql://postgres:<PASSWORD>@h/postgres");
        read("postgresql://postgres:[x9]A@h/postgres");
    }

    #[test]
    fn no_error_quotes_a_piece_of_the_password() {
        let passwords = [
            "hun@ter2",
            "hun/ter2",
            "hun%zter2",
            "hun:ter2@ter2",
            "ter2/x?ter2",
            "1/x?ter2&y",
            "1/ter2?ter2=ter2",
        ];
        for password in passwords {
            let outcome = parse(&format!("postgres://user:{password}@host/db?unknown=1"));
            let error = outcome.err().unwrap_or_else(|| panic!("{password} was taken"));
            let all = format!("{error:?} {error}");
            assert!(!all.contains("hun") && !all.contains(">ter2"), "{password}: {all}");
            assert!(password.contains("?ter2=") || !all.contains("ter2"), "{password}: {all}");
        }
    }

    #[test]
    fn numbers_and_words_are_checked() {
        refused("postgres://u@h:0/d");
        refused("postgres://u@h:70000/d");
        refused("postgres://u@a,b,c:1,2/d?port=1,2");
        refused("postgres://u@h/d?connect_timeout=soon");
        refused("postgres://u@h/d?target_session_attrs=fast");
        refused("mysql://u@h/d");
        assert_eq!(read("postgres://u@h/d?connect_timeout=0").timeout, None);
        assert_eq!(read("postgres://u@h/d?connect_timeout=1").timeout, Some(Duration::from_secs(2)));
    }
}
