//! What the screen shows: the state of the loop, exchanges, one of them in full.
//!
//! Takes news and keys, and draws itself into any buffer; knows nothing of terminals.

use std::collections::VecDeque;

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Paragraph, Widget, Wrap},
};

use super::{
    pane::{self, row},
    plain::headline,
};
use crate::{
    dev::{Live, News, Order, Setback, Started},
    trace::Trace,
};

/// Exchanges that are kept.
const EXCHANGES_MAX: usize = 200;
/// Of the list, besides its frame.
const LIST_MAX: u16 = 10;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Board {
    name: String,
    started: Option<Started>,
    live: Option<Live>,
    is_building: bool,
    setback: Option<Setback>,
    note: Option<String>,
    lost: u64,
    /// The oldest first.
    exchanges: VecDeque<Trace>,
    /// `None`: the newest, whichever that is.
    selected: Option<usize>,
    /// Whether one exchange has the screen for itself.
    is_whole: bool,
    /// Lines of the lower pane that are scrolled away.
    scrolled: u16,
}

/// A key that was pressed, by what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Press {
    Quit,
    Up,
    Down,
    PageUp,
    PageDown,
    Newest,
    Enter,
    Back,
    Sample,
    Build,
}

/// What a key asks of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Quit,
    Order(Order),
}

impl Board {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            is_building: true,
            ..Self::default()
        }
    }

    pub(super) fn take(&mut self, news: News) {
        match news {
            News::Building => self.is_building = true,
            News::Started(started) => self.started = Some(started),
            News::Live(live) => {
                self.live = Some(live);
                self.rest(None);
            }
            News::Unchanged => self.rest(None),
            News::Setback(setback) => self.rest(Some(setback)),
            News::Exchange(trace) => self.add(*trace),
            News::Lost { slow, skipped } => self.lost += slow + skipped,
            News::Note(note) => self.note = Some(note),
        }
    }

    fn rest(&mut self, setback: Option<Setback>) {
        self.is_building = false;
        self.setback = setback;
        self.note = None;
        self.scrolled = 0;
    }

    fn add(&mut self, trace: Trace) {
        if self.exchanges.len() == EXCHANGES_MAX {
            self.exchanges.pop_front();
            self.selected = self.selected.map(|selected| selected.saturating_sub(1));
        }
        self.exchanges.push_back(trace);
        if self.selected.is_none() {
            self.scrolled = 0;
        }
    }

    pub(super) fn press(&mut self, press: Press) -> Option<Wish> {
        match press {
            Press::Quit => return Some(Wish::Quit),
            Press::Sample => return Some(Wish::Order(Order::Sample)),
            Press::Build => return Some(Wish::Order(Order::Build)),
            Press::Up if self.is_whole => self.scrolled = self.scrolled.saturating_sub(1),
            Press::Down if self.is_whole => self.scrolled = self.scrolled.saturating_add(1),
            Press::Up => self.step(-1),
            Press::Down => self.step(1),
            Press::PageUp => self.scrolled = self.scrolled.saturating_sub(LIST_MAX),
            Press::PageDown => self.scrolled = self.scrolled.saturating_add(LIST_MAX),
            Press::Newest => {
                self.selected = None;
                self.scrolled = 0;
            }
            Press::Enter => {
                self.is_whole = !self.is_whole && !self.exchanges.is_empty();
                self.scrolled = 0;
            }
            Press::Back => {
                self.is_whole = false;
                self.scrolled = 0;
            }
        }
        None
    }

    fn step(&mut self, by: isize) {
        let Some(last) = self.exchanges.len().checked_sub(1) else {
            return;
        };
        let now = self.selected.unwrap_or(last);
        let next = now.saturating_add_signed(by).min(last);
        // At the end, what is newest is followed again.
        self.selected = (next < last).then_some(next);
        self.scrolled = 0;
    }

    fn shown(&self) -> Option<&Trace> {
        match self.selected {
            Some(selected) => self.exchanges.get(selected),
            None => self.exchanges.back(),
        }
    }

    pub(super) fn draw(&self, area: Rect, buffer: &mut Buffer) {
        let listed = u16::try_from(self.exchanges.len()).unwrap_or(LIST_MAX);
        let list = if self.is_whole {
            0
        } else {
            listed.clamp(1, LIST_MAX) + 2
        };
        let [head, list, pane, foot] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Length(list),
            Constraint::Min(0),
            Constraint::Length(1),
        ])
        .areas(area);
        self.head(head, buffer);
        if !self.is_whole {
            self.list(list, buffer);
        }
        self.pane(pane, buffer);
        self.foot(foot, buffer);
    }

    fn head(&self, area: Rect, buffer: &mut Buffer) {
        let title = Style::new()
            .fg(Color::Black)
            .bg(Color::Cyan)
            .add_modifier(Modifier::BOLD);
        let mut first = vec![
            Span::styled(" tollgate dev ", title),
            Span::styled(
                format!(" {} ", self.name),
                Style::new().add_modifier(Modifier::BOLD),
            ),
        ];
        first.push(self.state());
        let second = match (&self.started, &self.live) {
            (Some(started), Some(live)) => format!(
                " http://{} → {}; settings {}",
                started.addr, started.upstream, live.settings
            ),
            _ => String::new(),
        };
        let dim = Style::new().add_modifier(Modifier::DIM);
        Paragraph::new(vec![Line::from(first), Line::styled(second, dim)]).render(area, buffer);
    }

    fn state(&self) -> Span<'static> {
        let in_color = |text: String, color| Span::styled(text, Style::new().fg(color));
        if self.is_building {
            return in_color("… building".to_owned(), Color::Yellow);
        }
        if let Some(setback) = &self.setback {
            return in_color(format!("✗ {}", headline(setback)), Color::Red);
        }
        let Some(live) = &self.live else {
            return Span::raw("");
        };
        let text = format!(
            "● generation {} is live, {:.2} s after the change",
            live.generation,
            live.took.as_secs_f64()
        );
        in_color(text, Color::Green)
    }

    fn list(&self, area: Rect, buffer: &mut Buffer) {
        let block = Block::bordered().title(" exchanges ");
        let inner = block.inner(area);
        block.render(area, buffer);
        if self.exchanges.is_empty() {
            let hint = match &self.started {
                Some(started) => format!(
                    "none yet: press s for a sample, or ask http://{}/v1/chat/completions",
                    started.addr
                ),
                None => "none yet".to_owned(),
            };
            let dim = Style::new().add_modifier(Modifier::DIM);
            return Paragraph::new(Line::styled(hint, dim)).render(inner, buffer);
        }
        let last = self.exchanges.len() - 1;
        let selected = self.selected.unwrap_or(last);
        let height = usize::from(inner.height);
        let first = (selected + 1).saturating_sub(height);
        let rows = self.exchanges.iter().enumerate().skip(first).take(height);
        for (line, (nth, trace)) in rows.enumerate() {
            let y = inner.y + u16::try_from(line).unwrap_or(0);
            let at = Rect::new(inner.x, y, inner.width, 1);
            Paragraph::new(row(trace)).render(at, buffer);
            if nth == selected {
                buffer.set_style(at, Style::new().bg(Color::DarkGray));
            }
        }
    }

    fn pane(&self, area: Rect, buffer: &mut Buffer) {
        let (title, text, color) = match (&self.setback, self.shown()) {
            (Some(setback), _) if !self.is_whole => (
                format!(" {} ", setback.what),
                pane::words(&setback.why),
                Color::Red,
            ),
            (_, Some(trace)) => (" exchange ".to_owned(), pane::trace(trace), Color::Reset),
            _ => return,
        };
        let block = Block::bordered()
            .title(title)
            .border_style(Style::new().fg(color));
        let inner = block.inner(area);
        let most = text
            .lines
            .len()
            .saturating_sub(usize::from(inner.height) / 2);
        let scrolled = self.scrolled.min(u16::try_from(most).unwrap_or(u16::MAX));
        Paragraph::new(text)
            .wrap(Wrap { trim: false })
            .scroll((scrolled, 0))
            .block(block)
            .render(area, buffer);
    }

    fn foot(&self, area: Rect, buffer: &mut Buffer) {
        let keys: &[(&str, &str)] = if self.is_whole {
            &[
                ("↑↓", "scroll"),
                ("esc", "back"),
                ("s", "sample"),
                ("q", "quit"),
            ]
        } else {
            &[
                ("s", "sample"),
                ("↑↓", "select"),
                ("enter", "details"),
                ("r", "rebuild"),
                ("q", "quit"),
            ]
        };
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let mut line = vec![Span::raw(" ")];
        for (key, meaning) in keys {
            line.push(Span::styled(*key, bold));
            line.push(Span::raw(format!(" {meaning}   ")));
        }
        let yellow = Style::new().fg(Color::Yellow);
        if let Some(note) = &self.note {
            line.push(Span::styled(note.clone(), yellow));
        } else if self.lost > 0 {
            let lost = format!("{} exchanges are not shown", self.lost);
            line.push(Span::styled(lost, yellow));
        }
        Paragraph::new(Line::from(line)).render(area, buffer);
    }
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
