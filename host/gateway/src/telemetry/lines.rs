//! Lines on their way to a file descriptor that may block.
//!
//! Whoever writes a line appends it to a bounded buffer and goes on; a thread of
//! its own does the writing, many lines at a time. When the reader at the other
//! end stands still the lines are dropped and counted, and no exchange waits.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// Bytes kept for a reader that stands still.
const PENDING_MAX: usize = 1 << 20;
/// Lines are gathered this long, so that the thread wakes for many at once.
const GATHER: Duration = Duration::from_millis(10);

#[derive(Default)]
struct Buffer {
    pending: Vec<u8>,
    /// The thread waits to be woken.
    asleep: bool,
    /// The thread has taken lines that it has not written yet.
    writing: bool,
    closed: bool,
}

struct Shared {
    buffer: Mutex<Buffer>,
    wake: Condvar,
    dropped: AtomicU64,
}

/// Appends lines; cloning shares the buffer. The thread ends with the last clone.
#[derive(Clone)]
pub struct Lines {
    shared: Arc<Shared>,
    _last: Arc<Closing>,
}

struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.buffer.lock().closed = true;
        self.0.wake.notify_all();
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Lines")
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}

impl Lines {
    /// Lines that are written to `out` by a thread of their own.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            buffer: Mutex::default(),
            wake: Condvar::new(),
            dropped: AtomicU64::new(0),
        });
        let writer = Arc::clone(&shared);
        thread::Builder::new()
            .name("lines".into())
            .spawn(move || write_all(&writer, out))?;
        Ok(Self {
            _last: Arc::new(Closing(Arc::clone(&shared))),
            shared,
        })
    }

    /// Appends one line, its line feed included, or drops it. Never waits for the reader.
    pub fn append(&self, line: &[u8]) {
        let mut buffer = self.shared.buffer.lock();
        if buffer.pending.len() + line.len() > PENDING_MAX {
            drop(buffer);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        buffer.pending.extend_from_slice(line);
        let wake = std::mem::take(&mut buffer.asleep);
        drop(buffer);
        if wake {
            self.shared.wake.notify_one();
        }
    }

    /// Lines that were dropped since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything is written, at most this long. Blocks.
    pub fn flush(&self, most: Duration) {
        let until = Instant::now() + most;
        while Instant::now() < until {
            let buffer = self.shared.buffer.lock();
            if buffer.pending.is_empty() && !buffer.writing {
                return;
            }
            drop(buffer);
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn write_all(shared: &Shared, mut out: impl Write) {
    let mut taken = Vec::new();
    loop {
        let mut buffer = shared.buffer.lock();
        buffer.writing = false;
        while buffer.pending.is_empty() {
            if buffer.closed {
                return;
            }
            buffer.asleep = true;
            shared.wake.wait(&mut buffer);
        }
        std::mem::swap(&mut buffer.pending, &mut taken);
        buffer.writing = true;
        let last = buffer.closed;
        drop(buffer);
        // A reader that is gone stays gone: what is written to it is lost, as it would be.
        let _ = out.write_all(&taken).and_then(|()| out.flush());
        taken.clear();
        if !last {
            thread::sleep(GATHER);
        }
    }
}

/// One line on its way, as `tracing` writes it.
#[derive(Debug)]
pub struct Line<'a>(&'a Lines);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_arrive_in_order() {
        let memory = Memory::default();
        let lines = Lines::to(memory.clone()).unwrap();
        for line in ["a\n", "b\n", "c\n"] {
            lines.append(line.as_bytes());
        }
        lines.flush(Duration::from_secs(10));
        assert_eq!(*memory.0.lock(), b"a\nb\nc\n");
    }

    #[test]
    fn a_reader_that_stands_still_costs_lines_and_no_waiting() {
        struct Stuck;
        impl Write for Stuck {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                loop {
                    thread::park();
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::to(Stuck).unwrap();
        let line = [b'x'; 1 << 16];
        for _ in 0..100 {
            lines.append(&line);
        }
        assert!(lines.dropped() > 50);
    }
}
