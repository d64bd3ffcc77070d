//! Keeps panics on the side where they happen.
//!
//! A panic that reached the boundary would end the process. In the adapter it becomes an error of kind `Panicked`, and
//! the connection is not used again. In the host, where the adapter only called back, it waits in a [`Slot`] until the
//! adapter has returned, and then goes on.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Once, OnceLock};

use crate::{Error, ErrorKind, Session};

type Payload = Box<dyn Any + Send>;

/// Runs `call` and turns a panic into an error.
pub(super) fn contained<T>(call: impl FnOnce() -> T) -> Result<T, Error> {
    // What was half changed is not looked at again: the connection is poisoned, and the rest holds no state.
    catch_unwind(AssertUnwindSafe(call)).map_err(panicked)
}

/// What became of a connection whose code panicked. Shared with its dialects and with what it lends.
#[derive(Default)]
pub(super) struct Poison(OnceLock<Error>);

impl Poison {
    /// Runs `call`, unless there was a panic before.
    ///
    /// A panic further down, in a connection that `call` lent out, counts as one of `call` even when the author's code
    /// made a success of it.
    pub(super) fn guard<T>(&self, call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        if let Some(error) = self.0.get() {
            return Err(error.clone());
        }
        let outcome = contained(call).unwrap_or_else(|error| Err(self.0.get_or_init(|| error).clone()));
        match self.0.get() {
            Some(error) => Err(error.clone()),
            None => outcome,
        }
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.get().is_some()
    }
}

/// A value whose panic in `Drop` ends here: there is nobody left to tell.
pub(super) struct Contained<T>(Option<T>);

impl<T> Contained<T> {
    pub(super) fn new(value: T) -> Self {
        Contained(Some(value))
    }
}

impl<T> Deref for Contained<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("the value is there until it is dropped")
    }
}

impl<T> DerefMut for Contained<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("the value is there until it is dropped")
    }
}

impl<T> Drop for Contained<T> {
    fn drop(&mut self) {
        let value = self.0.take();
        let _ = contained(|| drop(value));
    }
}

/// Where the host's half of a call keeps what must not cross the boundary.
#[derive(Default)]
pub(super) struct Slot {
    payload: RefCell<Option<Payload>>,
    misbehaviour: Cell<Option<&'static str>>,
}

impl Slot {
    /// Runs the host's own code for the adapter. `None`: it panicked now or earlier in the same call.
    pub(super) fn call<T>(&self, call: impl FnOnce() -> T) -> Option<T> {
        if self.is_closed() {
            return None;
        }
        // The host's own values are seen again only by whoever catches the panic once it goes on.
        catch_unwind(AssertUnwindSafe(call))
            .map_err(|payload| *self.payload.borrow_mut() = Some(payload))
            .ok()
    }

    /// Notes that the adapter sent something that the contract does not allow.
    pub(super) fn accuse(&self, misbehaviour: &'static str) {
        self.misbehaviour.set(Some(misbehaviour));
    }

    fn is_closed(&self) -> bool {
        self.misbehaviour.get().is_some() || self.payload.borrow().is_some()
    }

    /// Lets the host's own panic go on, now that the adapter has returned.
    pub(super) fn settle(self) -> Result<(), Error> {
        if let Some(payload) = self.payload.into_inner() {
            resume_unwind(payload);
        }
        match self.misbehaviour.get() {
            Some(misbehaviour) => Err(Error::new(ErrorKind::Misbehaved, misbehaviour)),
            None => Ok(()),
        }
    }
}

/// Gives this library a panic hook that keeps the message instead of printing it past the host.
///
/// Only for a library that was loaded: it has its own copy of the standard library, so the host's hook stays as it is.
pub(super) fn keep_messages() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            let message = message(panic.payload());
            let place = panic.location().map(|location| format!("{}:{}", location.file(), location.line()));
            // The thread may be past the end of its locals; then the place is lost.
            let _ = LAST.try_with(|last| last.replace(Some(Panic { message, place })));
        }));
    });
}

struct Panic {
    message: String,
    place: Option<String>,
}

thread_local! {
    static LAST: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

fn panicked(payload: Payload) -> Error {
    let message = message(payload.as_ref());
    // A payload may panic in its own `Drop`.
    std::mem::forget(payload);
    let last = LAST.try_with(RefCell::take).ok().flatten();
    // The hook does not see a panic that was resumed: what it kept may be an older one.
    let place = last.filter(|last| last.message == message).and_then(|last| last.place);
    let message = match place {
        Some(place) => format!("the adapter panicked at {place}: {message}"),
        None => format!("the adapter panicked: {message}"),
    };
    Error { session: Session::Lost, ..Error::new(ErrorKind::Panicked, message) }
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}
