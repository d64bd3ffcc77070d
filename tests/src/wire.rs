//! What passes on the wire, as far as the proxy must understand it.
//!
//! Cuts the streams of PostgreSQL and MySQL into messages, knows when the login is over, when a reply has ended,
//! and when the client begins a new turn: it sends after the server's answer has reached it, so it has waited.
//!
//! Touches no socket: bytes go in, and what to do with them comes out.

use std::mem;

/// What client and server speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// PostgreSQL's protocol, version 3. The proxy refuses encryption, so that it can read along.
    Postgres,
    /// The protocol of MySQL and MariaDB. The proxy hides that the server can encrypt and compress.
    MySql,
    /// Anything, such as a connection with TLS: forwarded, delayed and not recorded. Every turn is counted, those of the
    /// login and the goodbye too; over no distance some of them by chance.
    Opaque,
}

/// A message of the client after the login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The turn that it belongs to, counted over all connections of the proxy.
    pub turn: u32,
    /// The type: PostgreSQL's letter, or the number of MySQL's command.
    pub kind: u8,
    /// The length in bytes, without the header.
    pub length: usize,
    /// The SQL or the COPY data in it, at most its first 320 KiB.
    pub text: String,
}

/// As much of a client's message is recorded.
const RECORDED: usize = 320 * 1024;
/// As much of a server's packet is needed to tell what it is.
const GLIMPSE: usize = 64;

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;

const CLIENT_SSL: u16 = 0x0800;
const CLIENT_COMPRESS: u16 = 0x0020;
const CLIENT_DEPRECATE_EOF: u32 = 1 << 24;
const SERVER_MORE_RESULTS: u16 = 0x0008;

const COM_QUIT: u8 = 0x01;
const COM_QUERY: u8 = 0x03;
const COM_STMT_PREPARE: u8 = 0x16;
const COM_STMT_EXECUTE: u8 = 0x17;
const COM_STMT_SEND_LONG_DATA: u8 = 0x18;
const COM_STMT_CLOSE: u8 = 0x19;

/// What to do with bytes of the client.
#[derive(Debug, Default)]
pub(crate) struct FromClient {
    /// What the server gets.
    pub(crate) forward: Vec<u8>,
    /// What the client gets at once, from the proxy itself.
    pub(crate) answer: Option<u8>,
    /// Whether a turn begins with these bytes.
    pub(crate) turn_begins: bool,
    /// The messages that end in these bytes; their turn is not filled in. Beside each stands the number of the
    /// reply that answers it.
    pub(crate) messages: Vec<(u64, Message)>,
}

/// What to do with bytes of the server.
#[derive(Debug, Default)]
pub(crate) struct FromServer {
    /// What the client gets.
    pub(crate) forward: Vec<u8>,
    /// Where in `forward` replies end.
    pub(crate) reply_ends: Vec<usize>,
}

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Conversation {
    protocol: Protocol,
    logged_in: bool,
    /// The server's bytes have reached the client since the client spoke.
    answered: bool,
    /// Requests sent since the login; the n-th is answered by the n-th reply.
    requests: u64,
    client: Client,
    server: Framer,
    greeting: Option<Vec<u8>>,
    response: Response,
    deprecate_eof: bool,
}

#[derive(Debug)]
enum Client {
    /// PostgreSQL's first messages, which have no type.
    Startup(Vec<u8>),
    Framed(Framer),
}

impl Conversation {
    pub(crate) fn new(protocol: Protocol) -> Self {
        let (client, layout) = match protocol {
            Protocol::Postgres | Protocol::Opaque => (Client::Startup(Vec::new()), Layout::Postgres),
            Protocol::MySql => (Client::Framed(Framer::new(Layout::MySql, RECORDED)), Layout::MySql),
        };
        Self {
            protocol,
            logged_in: false,
            // Whoever speaks first has waited for nobody, but for the connection.
            answered: protocol == Protocol::Opaque,
            requests: 0,
            client,
            server: Framer::new(layout, GLIMPSE),
            greeting: (protocol == Protocol::MySql).then(Vec::new),
            response: Response::Single,
            deprecate_eof: false,
        }
    }

    /// Returns whether the login is over.
    pub(crate) fn logged_in(&self) -> bool {
        self.logged_in
    }

    /// Notes that bytes of the server are about to reach the client.
    pub(crate) fn answer_arrives(&mut self) {
        self.answered = true;
    }

    /// Takes bytes of the client.
    pub(crate) fn client_sent(&mut self, bytes: &[u8]) -> FromClient {
        if self.protocol == Protocol::Opaque {
            let turn_begins = mem::take(&mut self.answered);
            return FromClient { forward: bytes.to_vec(), turn_begins, ..FromClient::default() };
        }
        match &mut self.client {
            Client::Startup(seen) => {
                seen.extend_from_slice(bytes);
                let startup = mem::take(seen);
                self.postgres_startup(startup)
            }
            Client::Framed(framer) => {
                let frames = framer.feed(bytes);
                let mut taken = FromClient { forward: bytes.to_vec(), ..FromClient::default() };
                for (_, event) in frames {
                    self.client_event(event, &mut taken);
                }
                taken
            }
        }
    }

    /// Takes bytes of the server.
    pub(crate) fn server_sent(&mut self, bytes: &[u8]) -> FromServer {
        if self.protocol == Protocol::Opaque {
            return FromServer { forward: bytes.to_vec(), ..FromServer::default() };
        }
        let forward = match &mut self.greeting {
            Some(seen) => {
                seen.extend_from_slice(bytes);
                if !holds_packet(seen) {
                    return FromServer::default();
                }
                let mut greeting = mem::take(seen);
                self.greeting = None;
                hide_encryption(&mut greeting);
                // The greeting starts with the protocol's version, never with the 0 of the OK that ends the login.
                greeting
            }
            None => bytes.to_vec(),
        };
        let mut reply_ends = Vec::new();
        for (end, event) in self.server.feed(&forward) {
            let Event::Ended(frame) = event else { continue };
            let was_logged_in = self.logged_in;
            if self.server_frame(&frame) && was_logged_in {
                reply_ends.push(end);
            }
        }
        FromServer { forward, reply_ends }
    }

    /// Answers requests for encryption with `N`, and forwards the startup message as soon as it is whole.
    fn postgres_startup(&mut self, seen: Vec<u8>) -> FromClient {
        let word =
            |at: usize| seen.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        let (Some(length), Some(code)) = (word(0), word(4)) else {
            self.client = Client::Startup(seen);
            return FromClient::default();
        };
        if code == SSL_REQUEST || code == GSS_REQUEST {
            return FromClient { answer: Some(b'N'), ..FromClient::default() };
        }
        if seen.len() < length as usize {
            self.client = Client::Startup(seen);
            return FromClient::default();
        }
        self.client = Client::Framed(Framer::new(Layout::Postgres, RECORDED));
        FromClient { forward: seen, ..FromClient::default() }
    }

    fn client_event(&mut self, event: Event, taken: &mut FromClient) {
        match event {
            Event::Began { kind, first } => {
                let waits = !says_farewell(self.protocol, kind, first);
                if self.logged_in && self.answered && waits {
                    taken.turn_begins = true;
                    self.answered = false;
                }
            }
            Event::Ended(frame) if self.logged_in => {
                let reply = self.request(&frame);
                let Frame { kind, length, .. } = frame;
                let text = text_of(self.protocol, &frame);
                taken.messages.push((reply, Message { turn: 0, kind, length, text }));
            }
            Event::Ended(frame) => {
                // MySQL's login: the client's abilities come first.
                if let (Protocol::MySql, 1, Some(word)) = (self.protocol, frame.sequence, frame.word(0)) {
                    self.deprecate_eof = word & CLIENT_DEPRECATE_EOF != 0;
                }
            }
        }
    }

    /// Notes a request and returns the number of the reply that will answer the message.
    fn request(&mut self, frame: &Frame) -> u64 {
        match self.protocol {
            Protocol::Postgres if matches!(frame.kind, b'Q' | b'S' | b'F') => self.requests += 1,
            // An extended query is answered with the Sync after it.
            Protocol::Postgres => return self.requests + 1,
            Protocol::MySql if frame.sequence != 0 => {}
            Protocol::MySql => {
                match frame.kind {
                    COM_QUIT | COM_STMT_CLOSE | COM_STMT_SEND_LONG_DATA => return self.requests,
                    COM_QUERY | COM_STMT_EXECUTE => self.response = Response::Result,
                    COM_STMT_PREPARE => self.response = Response::Prepared,
                    _ => self.response = Response::Single,
                }
                self.requests += 1;
            }
            Protocol::Opaque => {}
        }
        self.requests
    }

    /// Takes a message of the server and returns whether a reply, or the login, ends with it.
    fn server_frame(&mut self, frame: &Frame) -> bool {
        let ends = match self.protocol {
            Protocol::Postgres => frame.kind == b'Z',
            Protocol::MySql if self.logged_in => self.response.ends_with(frame, self.deprecate_eof),
            Protocol::MySql => frame.sequence > 0 && frame.kind == 0x00,
            Protocol::Opaque => false,
        };
        self.logged_in |= ends;
        ends
    }
}

/// How far the reply to a MySQL command has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Response {
    /// One packet and no more.
    Single,
    /// OK, an error, or the head of a result set.
    Result,
    /// The definitions of columns, and then rows.
    Columns(u64),
    /// The packet between definitions and rows that older clients get.
    AfterColumns,
    Rows,
    /// The head of the reply to a prepare.
    Prepared,
    /// Definitions of parameters and columns, with what ends each group.
    Definitions(u64),
}

impl Response {
    /// Takes the next packet and returns whether it is the last.
    fn ends_with(&mut self, packet: &Frame, deprecate_eof: bool) -> bool {
        let failed = packet.kind == 0xFF;
        let next = match *self {
            Self::Single => return true,
            Self::Result | Self::Prepared | Self::Rows if failed => return true,
            Self::Result if packet.kind == 0x00 => return self.result_ends(packet.status_of_ok()),
            // A local file is asked for; after it the server says OK.
            Self::Result if packet.kind == 0xFB => Self::Result,
            Self::Result => Self::Columns(packet.number(0).map_or(1, |(columns, _)| columns)),
            Self::Columns(left) if left > 1 => Self::Columns(left - 1),
            Self::Columns(_) if deprecate_eof => Self::Rows,
            Self::Columns(_) => Self::AfterColumns,
            Self::AfterColumns => Self::Rows,
            Self::Rows if packet.kind == 0xFE && deprecate_eof && packet.length < 0xFF_FFFF => {
                return self.result_ends(packet.status_of_ok());
            }
            Self::Rows if packet.kind == 0xFE && packet.length < 9 => {
                return self.result_ends(packet.half(3));
            }
            Self::Rows => Self::Rows,
            Self::Prepared => {
                let [columns, parameters] =
                    [packet.half(5), packet.half(7)].map(|count| u64::from(count.unwrap_or(0)));
                let ends = if deprecate_eof { 0 } else { u64::from(columns > 0) + u64::from(parameters > 0) };
                match columns + parameters + ends {
                    0 => return true,
                    packets => Self::Definitions(packets),
                }
            }
            Self::Definitions(1) => return true,
            Self::Definitions(left) => Self::Definitions(left - 1),
        };
        *self = next;
        false
    }

    fn result_ends(&mut self, status: Option<u16>) -> bool {
        *self = Self::Result;
        status.is_none_or(|status| status & SERVER_MORE_RESULTS == 0)
    }
}

/// How messages are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// A letter, then four bytes of length, which count themselves.
    Postgres,
    /// Three bytes of length, one of sequence. A packet of the greatest length goes on in the next one.
    MySql,
}

/// Cuts a stream into messages and keeps the first bytes of each.
#[derive(Debug)]
struct Framer {
    layout: Layout,
    keep: usize,
    header: Vec<u8>,
    left: usize,
    frame: Frame,
    began: bool,
    goes_on: bool,
}

/// A message, as far as it was kept.
#[derive(Debug, Default)]
struct Frame {
    kind: u8,
    sequence: u8,
    length: usize,
    kept: Vec<u8>,
}

#[derive(Debug)]
enum Event {
    /// A message begins. `first` tells it from the continuation of an exchange.
    Began {
        kind: u8,
        first: bool,
    },
    Ended(Frame),
}

impl Framer {
    fn new(layout: Layout, keep: usize) -> Self {
        Self {
            layout,
            keep,
            header: Vec::new(),
            left: 0,
            frame: Frame::default(),
            began: false,
            goes_on: false,
        }
    }

    /// Takes bytes and returns what begins and ends in them, each with the offset behind it.
    fn feed(&mut self, bytes: &[u8]) -> Vec<(usize, Event)> {
        let mut events = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            if self.header.len() < self.header_length() {
                let taken = rest.len().min(self.header_length() - self.header.len());
                self.header.extend_from_slice(&rest[..taken]);
                at += taken;
                if self.header.len() < self.header_length() {
                    break;
                }
                self.read_header();
            } else {
                let taken = rest.len().min(self.left);
                let room = self.keep.saturating_sub(self.frame.kept.len());
                self.frame.kept.extend_from_slice(&rest[..taken.min(room)]);
                self.left -= taken;
                at += taken;
            }
            self.announce(at, &mut events);
        }
        events
    }

    fn header_length(&self) -> usize {
        match self.layout {
            Layout::Postgres => 5,
            Layout::MySql => 4,
        }
    }

    fn read_header(&mut self) {
        let header = &self.header;
        match self.layout {
            Layout::Postgres => {
                let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
                self.left = (length as usize).saturating_sub(4);
                self.frame.kind = header[0];
            }
            Layout::MySql => {
                self.left = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
                if !self.goes_on {
                    self.frame.sequence = header[3];
                }
                self.goes_on = self.left == 0xFF_FFFF;
            }
        }
        self.frame.length += self.left;
    }

    fn announce(&mut self, at: usize, events: &mut Vec<(usize, Event)>) {
        let known = match self.layout {
            Layout::Postgres => true,
            // The first byte of the body is the command.
            Layout::MySql => !self.frame.kept.is_empty() || self.left == 0,
        };
        if known && !self.began {
            if self.layout == Layout::MySql {
                self.frame.kind = self.frame.kept.first().copied().unwrap_or(0);
            }
            self.began = true;
            events.push((at, Event::Began { kind: self.frame.kind, first: self.frame.sequence == 0 }));
        }
        if self.left > 0 {
            return;
        }
        self.header.clear();
        if !self.goes_on {
            self.began = false;
            events.push((at, Event::Ended(mem::take(&mut self.frame))));
        }
    }
}

impl Frame {
    /// Returns two bytes of a MySQL packet as a number.
    fn half(&self, at: usize) -> Option<u16> {
        self.kept.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes)
    }

    /// Returns four bytes of a MySQL packet as a number.
    fn word(&self, at: usize) -> Option<u32> {
        self.kept.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
    }

    /// Returns a MySQL number of variable length, and where it ends.
    fn number(&self, at: usize) -> Option<(u64, usize)> {
        let length = match *self.kept.get(at)? {
            small @ 0..=0xFA => return Some((small.into(), at + 1)),
            0xFC => 2,
            0xFD => 3,
            _ => 8,
        };
        let bytes = self.kept.get(at + 1..at + 1 + length)?;
        let number = bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        Some((number, at + 1 + length))
    }

    /// Returns the status flags of an OK packet, which follow two numbers.
    fn status_of_ok(&self) -> Option<u16> {
        let (_, at) = self.number(1)?;
        let (_, at) = self.number(at)?;
        self.half(at)
    }
}

/// Returns whether the client sends this without waiting for anything.
fn says_farewell(protocol: Protocol, kind: u8, first: bool) -> bool {
    match protocol {
        Protocol::Postgres => kind == b'X',
        Protocol::MySql => first && matches!(kind, COM_QUIT | COM_STMT_CLOSE),
        Protocol::Opaque => true,
    }
}

fn text_of(protocol: Protocol, frame: &Frame) -> String {
    let text = match (protocol, frame.kind) {
        (Protocol::Postgres, b'Q') => strings(&frame.kept).next(),
        // The name of the statement comes first.
        (Protocol::Postgres, b'P') => strings(&frame.kept).nth(1),
        (Protocol::Postgres, b'd') => Some(frame.kept.as_slice()),
        (Protocol::MySql, COM_QUERY | COM_STMT_PREPARE) if frame.sequence == 0 => frame.kept.get(1..),
        _ => None,
    };
    String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
}

/// Returns the strings of a PostgreSQL message, each of which ends with a zero.
fn strings(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == 0)
}

fn holds_packet(seen: &[u8]) -> bool {
    let length = seen.get(..3).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]) as usize);
    length.is_some_and(|length| seen.len() >= 4 + length)
}

/// Clears the abilities to encrypt and to compress in MySQL's greeting.
fn hide_encryption(greeting: &mut [u8]) {
    let body = &mut greeting[4..];
    // An error comes instead of a greeting when the server takes no more clients.
    if body.first() != Some(&10) {
        return;
    }
    let Some(version) = body.iter().position(|byte| *byte == 0) else {
        return;
    };
    // Behind the version: thread (4), the first part of the challenge (8), a filler (1).
    let at = version + 1 + 4 + 8 + 1;
    let Some(abilities) = body.get_mut(at..at + 2) else {
        return;
    };
    let shown = u16::from_le_bytes([abilities[0], abilities[1]]) & !(CLIENT_SSL | CLIENT_COMPRESS);
    abilities.copy_from_slice(&shown.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postgres_message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind], length.to_be_bytes().as_slice(), body].concat()
    }

    fn packet(sequence: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap().to_le_bytes();
        [&length[..3], &[sequence], body].concat()
    }

    fn mysql_after_login() -> Conversation {
        let mut conversation = Conversation::new(Protocol::MySql);
        conversation.server_sent(&packet(0, b"\x0a10.11\0....challenge.......................\0"));
        conversation.client_sent(&packet(1, &[0; 40]));
        conversation.server_sent(&packet(2, b"\0\0\0\x02\0\0\0"));
        conversation.answer_arrives();
        assert!(conversation.logged_in());
        conversation
    }

    #[test]
    fn encryption_is_refused_before_the_startup_message() {
        let mut conversation = Conversation::new(Protocol::Postgres);
        let request = [8_u32.to_be_bytes(), SSL_REQUEST.to_be_bytes()].concat();
        let taken = conversation.client_sent(&request);
        assert_eq!((taken.answer, taken.forward.len()), (Some(b'N'), 0));
        let startup = [9_u32.to_be_bytes().as_slice(), &196_608_u32.to_be_bytes(), b"\0"].concat();
        assert_eq!(conversation.client_sent(&startup[..5]).forward, b"");
        assert_eq!(conversation.client_sent(&startup[5..]).forward, startup);
    }

    #[test]
    fn a_message_in_single_bytes_is_one_turn() {
        let mut conversation = Conversation::new(Protocol::Postgres);
        conversation.client_sent(&[8_u32.to_be_bytes(), 196_608_u32.to_be_bytes()].concat());
        conversation.server_sent(&postgres_message(b'Z', b"I"));
        conversation.answer_arrives();
        let mut turns = 0;
        let mut texts = Vec::new();
        for byte in postgres_message(b'Q', b"SELECT 1\0") {
            let taken = conversation.client_sent(&[byte]);
            turns += u32::from(taken.turn_begins);
            texts.extend(taken.messages.into_iter().map(|(reply, message)| (reply, message.text)));
        }
        assert_eq!((turns, texts), (1, vec![(1, "SELECT 1".to_owned())]));
    }

    #[test]
    fn a_reply_with_more_results_ends_with_the_last_one() {
        let mut conversation = mysql_after_login();
        conversation.client_sent(&packet(0, b"\x03SELECT 1; DO 1; SELECT 2"));
        // A result set of one column and one row, OK with more results, and the same result set at the end.
        let rows = |status: u8| {
            let end: &[u8] = &[0xFE, 0, 0, status, 0];
            [b"\x01".as_slice(), b"\x03def", b"\xfe\0\0\x0a\0", b"\x011", end]
                .map(|body| packet(1, body))
                .concat()
        };
        let ok = packet(9, b"\0\0\0\x0a\0\0\0");
        let stream = [rows(0x0a), ok, rows(0x02)].concat();
        let taken = conversation.server_sent(&stream);
        assert_eq!(taken.reply_ends, [stream.len()]);
    }

    #[test]
    fn a_packet_of_the_greatest_length_goes_on() {
        let mut conversation = mysql_after_login();
        let mut long = vec![b' '; 0xFF_FFFF];
        long[0] = COM_QUERY;
        let first = conversation.client_sent(&packet(0, &long));
        assert_eq!((first.turn_begins, first.messages.len()), (true, 0));
        let second = conversation.client_sent(&packet(1, b"DO 1"));
        assert_eq!((second.turn_begins, second.messages.len()), (false, 1));
        assert_eq!(second.messages[0].1.length, 0xFF_FFFF + 4);
    }
}
