//! The board on the terminal, and the terminal left as it was found.

use std::{
    io::{self, Stdout},
    panic,
    sync::{Mutex, MutexGuard, Once, PoisonError},
    thread::{self, ThreadId},
    time::Duration,
};

use ratatui::Terminal;
use ratatui_crossterm::{
    CrosstermBackend,
    crossterm::{
        cursor, event,
        event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
        execute, terminal,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen},
    },
};
use tokio::sync::mpsc;

use super::board::{Board, Press, Wish};
use crate::{
    cli::say,
    dev::{News, Order},
};

/// How soon the thread that reads keys notices that nobody wants them.
const LOOK: Duration = Duration::from_millis(100);
/// Keys that wait to be taken.
const KEYS_MAX: usize = 64;

/// Draws until the author quits, or nobody tells anything more.
pub(super) async fn show(
    name: &str,
    (news, orders): (&mut mpsc::Receiver<News>, mpsc::Sender<Order>),
) -> anyhow::Result<()> {
    let mut screen = Screen::open()?;
    let mut inputs = inputs();
    let mut board = Board::new(name);
    loop {
        screen.terminal.draw(|frame| {
            board.draw(frame.area(), frame.buffer_mut());
        })?;
        tokio::select! {
            told = news.recv() => match told {
                Some(told) => board.take(told),
                None => return Ok(()),
            },
            input = inputs.recv() => match input {
                Some(Input::Press(press)) => match board.press(press) {
                    Some(Wish::Quit) => return Ok(()),
                    // Where so many wait, one more changes nothing.
                    Some(Wish::Order(order)) => drop(orders.try_send(order)),
                    None => {}
                },
                // It is drawn anew.
                Some(Input::Resized) => {}
                None => return Ok(()),
            },
        }
        while let Ok(told) = news.try_recv() {
            board.take(told);
        }
    }
}

/// The screen that is open, if one is.
static OPEN: Mutex<Option<Open>> = Mutex::new(None);
/// Panics of others that are kept for when it is closed.
const PANICS_MAX: usize = 8;

struct Open {
    /// The thread that draws.
    owner: ThreadId,
    /// What other threads panicked with, and somebody may have caught.
    panics: Vec<String>,
}

fn open() -> MutexGuard<'static, Option<Open>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a panic of this thread is to be told now. That of who draws ends the screen;
/// that of another does not, and would be written across it: it is kept.
fn is_to_be_told(panic: impl FnOnce() -> String) -> bool {
    match &mut *open() {
        Some(open) if open.owner != thread::current().id() => {
            if open.panics.len() < PANICS_MAX {
                open.panics.push(panic());
            }
            false
        }
        _ => true,
    }
}

/// A terminal that is ours. Dropped, and in a panic of who draws, it is as it was.
struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    fn open() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                if is_to_be_told(|| info.to_string()) {
                    // The message is to be seen where it will stay.
                    close();
                    before(info);
                }
            }));
        });
        terminal::enable_raw_mode()?;
        *open() = Some(Open {
            owner: thread::current().id(),
            panics: Vec::new(),
        });
        // From here on it has to be closed, also if the rest fails.
        let opened = execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match opened {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                close();
                Err(error)
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        close();
    }
}

/// As often as one likes; what fails then cannot be mended.
fn close() {
    let closed = open().take();
    if terminal::is_raw_mode_enabled().unwrap_or(true) {
        let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
        let _ = terminal::disable_raw_mode();
    }
    for panic in closed.into_iter().flat_map(|open| open.panics) {
        say::err(format_args!("{panic}\n"));
    }
}

enum Input {
    Press(Press),
    Resized,
}

/// Keys are read by a thread of their own, which ends once nobody takes them.
fn inputs() -> mpsc::Receiver<Input> {
    let (sender, receiver) = mpsc::channel(KEYS_MAX);
    thread::spawn(move || {
        while !sender.is_closed() {
            let input = match event::poll(LOOK) {
                Ok(false) => continue,
                Ok(true) => event::read(),
                Err(error) => Err(error),
            };
            let input = match input {
                Ok(Event::Key(key)) => press(key).map(Input::Press),
                Ok(Event::Resize(..)) => Some(Input::Resized),
                Ok(_) => None,
                // The terminal is gone.
                Err(_) => return,
            };
            if input.is_some_and(|input| sender.blocking_send(input).is_err()) {
                return;
            }
        }
    });
    receiver
}

fn press(key: KeyEvent) -> Option<Press> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(Press::Quit);
    }
    let press = match key.code {
        KeyCode::Char('q') => Press::Quit,
        KeyCode::Up | KeyCode::Char('k') => Press::Up,
        KeyCode::Down | KeyCode::Char('j') => Press::Down,
        KeyCode::PageUp => Press::PageUp,
        KeyCode::PageDown | KeyCode::Char(' ') => Press::PageDown,
        KeyCode::End => Press::Newest,
        KeyCode::Enter => Press::Enter,
        KeyCode::Esc | KeyCode::Backspace => Press::Back,
        KeyCode::Char('s') => Press::Sample,
        KeyCode::Char('r') => Press::Build,
        _ => return None,
    };
    Some(press)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_another_thread_leaves_the_screen_open_and_is_told_when_it_closes() {
        *open() = Some(Open {
            owner: thread::current().id(),
            panics: Vec::new(),
        });
        let others = thread::spawn(|| is_to_be_told(|| "of another".to_owned()));
        assert!(!others.join().unwrap());
        assert!(is_to_be_told(|| "of the owner".to_owned()));
        let panics = open().take().unwrap().panics;
        assert_eq!(panics, ["of another"]);
        assert!(is_to_be_told(|| "of nobody's".to_owned()));
    }

    #[test]
    fn ctrl_c_quits_though_the_terminal_sends_no_signal_for_it() {
        let key = |code, modifiers| press(KeyEvent::new(code, modifiers));
        assert_eq!(
            key(KeyCode::Char('c'), KeyModifiers::CONTROL),
            Some(Press::Quit)
        );
        assert_eq!(key(KeyCode::Char('s'), KeyModifiers::CONTROL), None);
        assert_eq!(
            key(KeyCode::Char('s'), KeyModifiers::NONE),
            Some(Press::Sample)
        );
        assert_eq!(key(KeyCode::Char('x'), KeyModifiers::NONE), None);
    }
}
