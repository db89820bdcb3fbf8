use std::time::Duration;

use super::*;
use crate::cli::{example, picture};

const WIDTH: u16 = 106;

fn started() -> News {
    News::Started(Started {
        addr: ([127, 0, 0, 1], 8080).into(),
        admin: ([127, 0, 0, 1], 9901).into(),
        upstream: "the stand-in model server at http://127.0.0.1:9000".to_owned(),
    })
}

fn live(generation: u64) -> News {
    News::Live(Live {
        generation,
        name: "brief".to_owned(),
        version: "0.1.0".to_owned(),
        bytes: 700_000,
        settings: "of the case clamps".to_owned(),
        built: Duration::from_millis(510),
        took: Duration::from_millis(860),
    })
}

fn setback() -> News {
    News::Setback(Setback {
        what: "brief does not build".to_owned(),
        why: "error[E0308]: mismatched types\n --> src/lib.rs:31:9\n  |\n31|  next()\n".to_owned(),
        generation: Some(3),
    })
}

/// A board that was told all this.
fn told(news: Vec<News>) -> Board {
    let mut board = Board::new("brief");
    news.into_iter().for_each(|news| board.take(news));
    board
}

fn busy() -> Board {
    let mut news = vec![started(), live(3)];
    news.extend(
        example::exchanges()
            .into_iter()
            .map(|trace| News::Exchange(Box::new(trace))),
    );
    told(news)
}

fn drawn(board: &Board, height: u16) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, WIDTH, height));
    board.draw(buffer.area, &mut buffer);
    buffer
}

/// The characters alone, without what is empty at the end of lines.
fn text(board: &Board, height: u16) -> String {
    let buffer = drawn(board, height);
    let line = |y: u16| -> String {
        let cells = (0..WIDTH).map(|x| buffer[(x, y)].symbol());
        cells.collect::<String>().trim_end().to_owned()
    };
    (0..height).map(line).collect::<Vec<_>>().join("\n")
}

fn row_with(board: &Board, words: &str) -> u16 {
    let text = text(board, 30);
    let found = text.lines().position(|line| line.contains(words));
    u16::try_from(found.unwrap_or_else(|| panic!("no `{words}` in\n{text}"))).unwrap()
}

fn is_selected(board: &Board, words: &str) -> bool {
    let y = row_with(board, words);
    drawn(board, 30)[(2, y)].style().bg == Some(Color::DarkGray)
}

#[test]
fn the_picture_of_the_board_is_what_the_command_draws() {
    picture::agrees("dev.svg", &drawn(&busy(), 27));
}

#[test]
fn before_anything_is_live_it_says_that_it_builds() {
    let text = text(&told(Vec::new()), 8);
    assert!(
        text.starts_with(" tollgate dev  brief … building\n"),
        "{text}"
    );
    assert!(text.contains("none yet"), "{text}");
}

#[test]
fn a_newcomer_is_told_how_to_see_something() {
    let text = text(&told(vec![started(), live(1)]), 8);
    assert!(
        text.contains("● generation 1 is live, 0.86 s after the change"),
        "{text}"
    );
    assert!(
        text.contains("press s for a sample, or ask http://127.0.0.1:8080/v1/chat/completions"),
        "{text}"
    );
}

#[test]
fn an_exchange_is_a_line_and_the_newest_is_shown_in_full() {
    let board = busy();
    let text = text(&board, 30);
    let line = "12:34:56 POST /v1/chat/completions 200 complete 11.7 ms  brief 2 edits, 38 µs";
    assert!(text.contains(line), "{text}");
    let line = "12:34:58 POST /v1/chat/completions 413 refused 231 µs  brief refuse prompt_too_long, 21 µs";
    assert!(text.contains(line), "{text}");
    let line = "200 complete stream 243.9 ms  brief 2 edits, 1 of 14 events, 99 µs";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("event 3 replace"), "{text}");
}

#[test]
fn what_does_not_build_stays_until_something_does() {
    let mut board = busy();
    board.take(News::Building);
    board.take(setback());
    let shown = text(&board, 30);
    assert!(
        shown.contains("✗ brief does not build; generation 3 goes on"),
        "{shown}"
    );
    board.take(News::Exchange(Box::default()));
    let shown = text(&board, 30);
    assert!(shown.contains("error[E0308]: mismatched types"), "{shown}");
    board.take(live(4));
    let shown = text(&board, 30);
    assert!(!shown.contains("E0308"), "{shown}");
    assert!(shown.contains("● generation 4 is live"), "{shown}");
}

#[test]
fn a_change_that_is_undone_takes_the_setback_away() {
    let mut board = busy();
    board.take(setback());
    board.take(News::Unchanged);
    let shown = text(&board, 30);
    assert!(shown.contains("● generation 3 is live"), "{shown}");
}

#[test]
fn one_is_selected_until_the_end_is_reached_again() {
    let mut board = busy();
    assert!(is_selected(&board, "243.9 ms"));
    board.press(Press::Up);
    assert!(is_selected(&board, "231 µs"));
    board.take(News::Exchange(Box::default()));
    assert!(is_selected(&board, "231 µs"));
    board.press(Press::Down);
    board.press(Press::Down);
    board.take(News::Exchange(Box::new(Trace {
        total_us: 77,
        ..Trace::default()
    })));
    assert!(is_selected(&board, "77 µs"));
    board.press(Press::Up);
    board.press(Press::Newest);
    assert!(is_selected(&board, "77 µs"));
}

#[test]
fn details_have_the_screen_for_themselves_and_scroll() {
    let mut board = busy();
    board.press(Press::Enter);
    let whole = text(&board, 14);
    assert!(
        !whole.contains(" exchanges ") && whole.contains("esc back"),
        "{whole}"
    );
    board.press(Press::Down);
    board.press(Press::Down);
    let scrolled = text(&board, 14);
    assert!(
        whole.contains("route chat") && !scrolled.contains("route chat"),
        "{scrolled}"
    );
    board.press(Press::Back);
    assert!(text(&board, 14).contains(" exchanges "));
}

#[test]
fn keys_ask_others_for_what_the_board_cannot_do() {
    let mut board = busy();
    let sample = Some(Wish::Order(Order::Sample));
    assert_eq!(board.press(Press::Sample), sample);
    assert_eq!(board.press(Press::Build), Some(Wish::Order(Order::Build)));
    assert_eq!(board.press(Press::Quit), Some(Wish::Quit));
    assert_eq!(board.press(Press::Up), None);
}

#[test]
fn so_many_exchanges_are_kept_and_the_selected_one_stays_so() {
    let mut board = busy();
    board.press(Press::Up);
    for _ in 0..EXCHANGES_MAX - 2 {
        board.take(News::Exchange(Box::default()));
    }
    assert_eq!(board.exchanges.len(), EXCHANGES_MAX);
    assert_eq!(board.shown().map(|trace| trace.total_us), Some(231));
}

#[test]
fn it_draws_itself_into_whatever_there_is() {
    let mut board = busy();
    for _ in 0..2 {
        for (width, height) in [(0, 0), (1, 1), (5, 3), (20, 4), (300, 100)] {
            let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
            board.draw(buffer.area, &mut buffer);
        }
        board.press(Press::Enter);
    }
}

#[test]
fn nothing_of_an_exchange_steers_the_terminal() {
    let mut board = busy();
    board.take(News::Exchange(Box::new(Trace {
        method: "\u{1b}[2J".to_owned(),
        path: "/\u{1b}]0;x\u{7}".to_owned(),
        ..Trace::default()
    })));
    board.take(News::Setback(Setback {
        what: "x".to_owned(),
        why: "\u{1b}[31merror\u{1b}[0m".to_owned(),
        generation: None,
    }));
    let text = text(&board, 30);
    assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
}
