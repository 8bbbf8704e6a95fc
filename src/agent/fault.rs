//! A panic is a fault of ours, and costs the command, the API or the list that it happened in, never the agent. Here
//! it becomes an error, and its place and backtrace a line in the log.

use std::{
    any::Any,
    backtrace::{Backtrace, BacktraceStatus},
    cell::{Cell, RefCell},
    future::poll_fn,
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    sync::Once,
    task::Poll,
};

use crate::model::Error;

thread_local! {
    /// A [`caught`] future is being polled on this thread.
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    /// Where its panic happened, for a person.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What `work` comes to; when it panics, a [`Bug`](crate::model::Class::Bug), with the details in the log.
pub(super) async fn caught<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    listen();
    let mut work = Box::pin(work);
    poll_fn(move |context| {
        let outer = WATCHED.replace(true);
        let polled = panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        WATCHED.set(outer);
        polled.unwrap_or_else(|panic| Poll::Ready(Err(told(&*panic))))
    })
    .await
}

/// A backtrace can be taken only where the panic happens: in the process's hook. Panics of others keep theirs.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| if WATCHED.get() { PLACE.set(Some(place(info))) } else { others(info) }));
    });
}

fn place(info: &PanicHookInfo<'_>) -> String {
    let place = info.location().map_or_else(|| "somewhere".to_owned(), ToString::to_string);
    let backtrace = Backtrace::force_capture();
    match backtrace.status() {
        BacktraceStatus::Captured => format!("{place}\n{backtrace}"),
        _ => place,
    }
}

fn told(panic: &(dyn Any + Send)) -> Error {
    let says = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words");
    let place = PLACE.take().unwrap_or_default();
    tracing::error!(
        panic = says,
        place,
        "a fault of this program; please report it with this line and those before it"
    );
    Error::bug("a fault of this program; its log has the details, please report it")
}
