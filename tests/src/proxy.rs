//! A proxy that counts, delays, records and breaks.
//!
//! Stands between a client and a server on 127.0.0.1. A *turn* begins when the client sends after the server's
//! answer has reached it: one wait of a full round trip. Turns are counted after the login, over all connections, but for
//! [`Protocol::Opaque`].
//!
//! Reads plain text only: clients that could do without encryption are told that there is none.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::database::Networked;
use crate::wire::{Conversation, Message, Protocol};

/// Nothing that a test waits for takes longer.
const DEADLINE: Duration = Duration::from_secs(60);

/// A proxy on a free port; its connections break when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

/// What is to go wrong, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The server gets the request of this turn, but at the first byte of its reply the connection is lost.
    Reply {
        /// The turn, counted from 1.
        turn: u32,
        /// How the connection is lost.
        loss: Loss,
    },
    /// The connection is lost before the request of this turn reaches the server.
    Request {
        /// The turn, counted from 1.
        turn: u32,
        /// How the connection is lost.
        loss: Loss,
    },
    /// The connection is lost after this many bytes of the client, counted after the login and over all
    /// connections; the server has received exactly these.
    Bytes {
        /// How many bytes get through.
        count: u64,
        /// How the connection is lost.
        loss: Loss,
    },
    /// The server does all that the first message with this text asks for, but its reply is swallowed, and both
    /// sides are closed at the reply's end. With `COMMIT` as the text the commit is in doubt for the client.
    LostReply {
        /// What the message must hold, in any case of letters.
        text: String,
    },
}

/// How a connection is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Both sides see an orderly end.
    Close,
    /// Both sides see a reset.
    Reset,
    /// The client gets nothing more. What it sends still reaches the server, and so does its end.
    Silence,
    /// Nothing passes any more in either direction, and nobody is told.
    Partition,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    protocol: Protocol,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    round_trip: Duration,
    fault: Option<Fault>,
    closing: bool,
    connections: u32,
    turns: u32,
    client_bytes: u64,
    server_bytes: u64,
    messages: Vec<Message>,
    links: Vec<Weak<Link>>,
}

/// One connection and its other half.
#[derive(Debug)]
struct Link {
    client: TcpStream,
    server: TcpStream,
    progress: Mutex<Progress>,
}

#[derive(Debug)]
struct Progress {
    conversation: Conversation,
    turn: u32,
    flow: Flow,
    replies: u64,
    /// The number of the reply that is swallowed.
    swallow: Option<u64>,
}

/// What still passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Open,
    ToServerOnly,
    Nothing,
    /// The sockets are closed or about to be, without a word to either side from us.
    Gone,
}

/// Bytes on their way.
struct Parcel {
    due: Instant,
    bytes: Vec<u8>,
}

impl Proxy {
    /// Starts a proxy before a server.
    pub fn start(upstream: SocketAddr, protocol: Protocol) -> Self {
        Self::start_on(Ipv4Addr::LOCALHOST.into(), upstream, protocol)
    }

    /// Starts a proxy before a database.
    pub fn before(database: &dyn Networked) -> Self {
        Self::start(database.address(), database.protocol())
    }

    /// Starts a proxy on another address, such as 127.0.0.2, for which no server has a certificate.
    pub fn start_on(address: IpAddr, upstream: SocketAddr, protocol: Protocol) -> Self {
        Self::start_at(SocketAddr::new(address, 0), upstream, protocol)
    }

    /// Does the same on a port of the test's choice.
    pub fn start_at(address: SocketAddr, upstream: SocketAddr, protocol: Protocol) -> Self {
        let listener =
            TcpListener::bind(address).unwrap_or_else(|error| panic!("the port is not free: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let shared =
            Arc::new(Shared { upstream, protocol, state: Mutex::default(), changed: Condvar::new() });
        let of_acceptor = Arc::clone(&shared);
        let acceptor = thread::spawn(move || of_acceptor.accept(&listener));
        Self { address, shared, acceptor: Some(acceptor) }
    }

    /// Returns where the proxy listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the url of the database by way of this proxy.
    pub fn url(&self, database: &dyn Networked) -> String {
        database.url_at(self.address)
    }

    /// Returns the same without TLS: the proxy reads plain text only.
    pub fn plain_url(&self, database: &dyn Networked) -> String {
        database.plain_url_at(self.address)
    }

    /// Makes every round trip last this long, and the opening of a connection one such trip longer.
    pub fn delay(&self, round_trip: Duration) {
        self.shared.state().round_trip = round_trip;
    }

    /// Closes both sides at the first byte of the reply to the n-th turn.
    pub fn cut_after_turn(&self, turn: u32) {
        self.fault(Fault::Reply { turn, loss: Loss::Close });
    }

    /// Arms a fault. It strikes once, and replaces one that has not struck.
    pub fn fault(&self, fault: Fault) {
        self.shared.state().fault = Some(fault);
    }

    /// Returns whether no fault waits to strike.
    pub fn fault_struck(&self) -> bool {
        self.shared.state().fault.is_none()
    }

    /// Returns the number of turns after the login, of all connections together.
    pub fn turns(&self) -> u32 {
        self.shared.state().turns
    }

    /// Returns the number of connections that were opened.
    pub fn connections(&self) -> u32 {
        self.shared.state().connections
    }

    /// Returns the bytes that servers sent.
    pub fn server_bytes(&self) -> u64 {
        self.shared.state().server_bytes
    }

    /// Returns the bytes that clients sent after the login.
    pub fn client_bytes(&self) -> u64 {
        self.shared.state().client_bytes
    }

    /// Returns the clients' messages after the login, oldest first.
    pub fn messages(&self) -> Vec<Message> {
        self.shared.state().messages.clone()
    }

    /// Returns the text of the clients' messages after the login, one below the other.
    pub fn client_text(&self) -> String {
        let texts = self.messages().into_iter().map(|message| message.text);
        texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
    }

    /// Forgets what was counted and recorded so far, between two runs through the same proxy.
    pub fn forget(&self) {
        let mut state = self.shared.state();
        state.connections = 0;
        state.turns = 0;
        state.client_bytes = 0;
        state.server_bytes = 0;
        state.messages.clear();
    }

    /// Waits until the n-th turn has begun.
    pub fn wait_for_turn(&self, turn: u32) {
        self.wait_until(&format!("turn {turn}"), |state| state.turns >= turn);
    }

    /// Waits until the fault has struck.
    pub fn wait_for_fault(&self) {
        self.wait_until("the fault", |state| state.fault.is_none());
    }

    fn wait_until(&self, what: &str, there: impl Fn(&State) -> bool) {
        let (state, waited) = self
            .shared
            .changed
            .wait_timeout_while(self.shared.state(), DEADLINE, |state| !there(state))
            .expect("no thread panics while it holds the state");
        let turns = state.turns;
        drop(state);
        assert!(!waited.timed_out(), "waited {DEADLINE:?} for {what}; there were {turns} turns");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let links = {
            let mut state = self.shared.state();
            state.closing = true;
            std::mem::take(&mut state.links)
        };
        // Wakes the acceptor, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for link in links.iter().filter_map(Weak::upgrade) {
            link.lose(Loss::Close);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the state")
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            let mut state = self.state();
            if state.closing {
                return;
            }
            let Ok(client) = client else { continue };
            state.connections += 1;
            drop(state);
            let shared = Arc::clone(&self);
            // A client without a server sees its connection closed, as it would by a proxy in production.
            thread::spawn(move || shared.connect(client));
        }
    }

    /// Connects to the server and carries bytes until both sides are done.
    fn connect(self: Arc<Self>, client: TcpStream) -> io::Result<()> {
        self.wait_for_round_trip();
        let server = TcpStream::connect(self.upstream)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let conversation = Conversation::new(self.protocol);
        let progress = Progress { conversation, turn: 0, flow: Flow::Open, replies: 0, swallow: None };
        let link = Arc::new(Link { client, server, progress: Mutex::new(progress) });
        {
            let mut state = self.state();
            state.links.retain(|link| link.strong_count() > 0);
            state.links.push(Arc::downgrade(&link));
            if state.closing {
                return Ok(());
            }
        }
        let (to_server, for_server) = channel();
        let (to_client, for_client) = channel();
        thread::scope(|scope| {
            scope.spawn(|| link.deliver(for_server, Flow::ToServerOnly, &link.server));
            scope.spawn(|| link.deliver(for_client, Flow::Open, &link.client));
            scope.spawn(|| self.carry_to_client(&link, to_client));
            self.carry_to_server(&link, to_server);
        });
        Ok(())
    }

    fn wait_for_round_trip(&self) {
        // Not in one expression: the state would be held for as long.
        let round_trip = self.state().round_trip;
        thread::sleep(round_trip);
    }

    fn carry_to_server(&self, link: &Link, to_server: Sender<Parcel>) {
        let mut buffer = vec![0; 64 * 1024];
        while let Some(bytes) = receive(&link.client, &mut buffer) {
            let mut progress = link.progress();
            let taken = progress.conversation.client_sent(bytes);
            if let Some(answer) = taken.answer {
                drop(progress);
                self.wait_for_round_trip();
                // If the client is gone, the next read says so.
                let _ = (&link.client).write_all(&[answer]);
                continue;
            }
            let mut state = self.state();
            if taken.turn_begins {
                state.turns += 1;
                progress.turn = state.turns;
            }
            let after_login = progress.conversation.logged_in();
            let sent = if after_login { taken.forward.len() as u64 } else { 0 };
            let through = state.bytes_through(sent);
            state.client_bytes += sent;
            for (reply, mut message) in taken.messages {
                if state.reply_is_lost(&message.text) {
                    progress.swallow = Some(reply);
                }
                message.turn = progress.turn;
                state.messages.push(message);
            }
            let loss = if taken.turn_begins { state.request_fault(progress.turn) } else { None };
            let parcel =
                |bytes: &[u8]| Parcel { due: Instant::now() + state.round_trip / 2, bytes: bytes.to_vec() };
            let whole = parcel(&taken.forward);
            let cut = through.map(|(count, loss)| (parcel(&taken.forward[..count]), loss));
            drop(state);
            drop(progress);
            self.changed.notify_all();
            match (loss, cut) {
                (Some(loss), _) => link.lose(loss),
                (None, Some((part, loss))) => {
                    // Written here and now, since a reset would overtake what is on its way.
                    let _ = (&link.server).write_all(&part.bytes);
                    link.lose(loss);
                }
                (None, None) => drop(to_server.send(whole)),
            }
        }
    }

    fn carry_to_client(&self, link: &Link, to_client: Sender<Parcel>) {
        let mut buffer = vec![0; 64 * 1024];
        while let Some(bytes) = receive(&link.server, &mut buffer) {
            let mut progress = link.progress();
            let taken = progress.conversation.server_sent(bytes);
            let mut state = self.state();
            let round_trip = state.round_trip;
            let loss =
                if progress.conversation.logged_in() { state.reply_fault(progress.turn) } else { None };
            drop(state);
            let (through, swallowed_whole) = progress.let_through(&taken.reply_ends, taken.forward.len());
            drop(progress);
            if let Some(loss) = loss {
                link.lose(loss);
                self.changed.notify_all();
                continue;
            }
            self.state().server_bytes += through as u64;
            let bytes = taken.forward[..through].to_vec();
            if !bytes.is_empty() {
                // The other side may be gone; the next read from this one says whether to go on.
                let _ = to_client.send(Parcel { due: Instant::now() + round_trip / 2, bytes });
            }
            if swallowed_whole {
                self.state().fault = None;
                self.changed.notify_all();
                link.lose(Loss::Close);
            }
        }
    }
}

impl State {
    fn request_fault(&mut self, turn: u32) -> Option<Loss> {
        match self.fault {
            Some(Fault::Request { turn: fatal, loss }) if fatal == turn => self.strike(loss),
            _ => None,
        }
    }

    fn reply_fault(&mut self, turn: u32) -> Option<Loss> {
        match self.fault {
            Some(Fault::Reply { turn: fatal, loss }) if fatal == turn => self.strike(loss),
            _ => None,
        }
    }

    /// Returns how many of the next bytes get through if the connection is lost within them.
    fn bytes_through(&mut self, next: u64) -> Option<(usize, Loss)> {
        match self.fault {
            Some(Fault::Bytes { count, loss }) if next > 0 && self.client_bytes + next > count => {
                let through = usize::try_from(count.saturating_sub(self.client_bytes)).ok()?;
                self.strike(loss).map(|loss| (through, loss))
            }
            _ => None,
        }
    }

    fn reply_is_lost(&self, message: &str) -> bool {
        match &self.fault {
            Some(Fault::LostReply { text }) => message.to_lowercase().contains(&text.to_lowercase()),
            _ => false,
        }
    }

    fn strike(&mut self, loss: Loss) -> Option<Loss> {
        self.fault = None;
        Some(loss)
    }
}

impl Progress {
    /// Returns how many of the next bytes of the server the client gets, and whether the reply that it does not
    /// get has ended.
    fn let_through(&mut self, reply_ends: &[usize], length: usize) -> (usize, bool) {
        let before = self.replies;
        self.replies += reply_ends.len() as u64;
        let Some(swallow) = self.swallow else {
            return (length, false);
        };
        // The replies to earlier messages still get through.
        let earlier = usize::try_from((swallow - 1).saturating_sub(before)).unwrap_or(usize::MAX);
        let through = match earlier {
            0 => 0,
            count => reply_ends.get(count - 1).copied().unwrap_or(length),
        };
        (through, self.replies >= swallow)
    }
}

impl Link {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().expect("no thread panics while it holds the progress")
    }

    /// Writes what arrives, each parcel when it is due, and passes the end on.
    fn deliver(&self, parcels: Receiver<Parcel>, needed: Flow, mut stream: &TcpStream) {
        for parcel in parcels {
            thread::sleep(parcel.due.saturating_duration_since(Instant::now()));
            let mut progress = self.progress();
            let passes = progress.flow == Flow::Open || progress.flow == needed;
            if passes && needed == Flow::Open {
                // Before the bytes are there: the client may answer in the same moment.
                progress.conversation.answer_arrives();
            }
            drop(progress);
            if passes && stream.write_all(&parcel.bytes).is_err() {
                break;
            }
        }
        let flow = self.progress().flow;
        if flow == Flow::Open || flow == needed {
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    fn lose(&self, loss: Loss) {
        self.progress().flow = match loss {
            Loss::Close | Loss::Reset => Flow::Gone,
            Loss::Silence => Flow::ToServerOnly,
            Loss::Partition => Flow::Nothing,
        };
        // Errors below mean that the other end was faster.
        for stream in [&self.client, &self.server] {
            match loss {
                Loss::Close => drop(stream.shutdown(Shutdown::Both)),
                Loss::Reset => {
                    // The reset goes out when the last thread has let go of the socket, and this ends their reads.
                    drop(SockRef::from(stream).set_linger(Some(Duration::ZERO)));
                    drop(stream.shutdown(Shutdown::Read));
                }
                Loss::Silence | Loss::Partition => {}
            }
        }
    }
}

/// Returns the next bytes, or none at the end of the stream.
fn receive<'a>(mut stream: &TcpStream, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    match stream.read(buffer) {
        Ok(0) | Err(_) => None,
        Ok(length) => Some(&buffer[..length]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_to_earlier_messages_pass_before_the_one_that_is_lost() {
        let conversation = Conversation::new(Protocol::Postgres);
        let mut progress = Progress { conversation, turn: 1, flow: Flow::Open, replies: 0, swallow: Some(3) };
        // The first reply and a part of the second, its rest and a part of the third, the rest of the third.
        assert_eq!(progress.let_through(&[10], 15), (15, false));
        assert_eq!(progress.let_through(&[5], 20), (5, false));
        assert_eq!(progress.let_through(&[7], 7), (0, true));
    }
}
