use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1 << 16;

/// All frames of chunks, fed and asked for in turn, and what was left.
fn frames(
    chunks: impl IntoIterator<Item = Bytes>,
    limit: usize,
) -> (Vec<Frame>, Result<Rest, SseError>) {
    let mut framer = Framer::new(limit);
    let mut frames = Vec::new();
    for chunk in chunks {
        framer.feed(chunk);
        loop {
            match framer.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    let rest = framer.finish();
    (frames, rest)
}

fn chunks(text: &[u8], size: usize) -> impl Iterator<Item = Bytes> {
    text.chunks(size).map(Bytes::copy_from_slice)
}

fn whole(text: impl AsRef<[u8]>) -> (Vec<Frame>, Result<Rest, SseError>) {
    frames([Bytes::copy_from_slice(text.as_ref())], LIMIT)
}

type Seen = (Option<String>, String);

fn events(frames: &[Frame]) -> Vec<Seen> {
    let events = frames.iter().filter_map(Frame::to_event);
    events
        .map(|event| (event.name, String::from_utf8(event.data).unwrap()))
        .collect()
}

fn seen(text: &str) -> Vec<Seen> {
    let (frames, rest) = whole(text);
    assert_eq!(rest, Ok(Rest::Nothing), "{text:?}");
    assert_eq!(
        frames
            .iter()
            .map(|frame| &frame.raw[..])
            .collect::<Vec<_>>()
            .concat(),
        text.as_bytes()
    );
    events(&frames)
}

fn event(name: Option<&str>, data: &str) -> Seen {
    (name.map(Into::into), data.to_owned())
}

/// The standard's algorithm, line by line over the whole text; `None` if it
/// breaks off inside of an event.
fn by_the_book(text: &str) -> Option<Vec<Seen>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let (mut name, mut data, mut open, mut events) =
        (String::new(), String::new(), false, Vec::new());
    let mut lines: Vec<_> = text.split('\n').collect();
    let last = lines.pop().unwrap();
    for line in lines {
        if line.is_empty() {
            if let Some(data) = data.strip_suffix('\n') {
                events.push(event(
                    Some(name.as_str()).filter(|name| !name.is_empty()),
                    data,
                ));
            }
            (name, data, open) = (String::new(), String::new(), false);
            continue;
        }
        open |= !line.starts_with(':');
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => name = value.to_owned(),
            "data" => data += &format!("{value}\n"),
            _ => {}
        }
    }
    (last.is_empty() && !open).then_some(events)
}

#[test]
fn events_are_read_with_every_line_end() {
    for end in ["\n", "\r\n", "\r"] {
        let text = "data: a\n\nevent: n\ndata:b\ndata\ndata:  c\nid: 1\n\n".replace('\n', end);
        assert_eq!(seen(&text), [event(None, "a"), event(Some("n"), "b\n\n c")]);
    }
    assert_eq!(
        seen("data: a\r\rdata: b\n\r\ndata: c\r\n\n"),
        [event(None, "a"), event(None, "b"), event(None, "c")]
    );
}

#[test]
fn fields_are_read_as_the_standard_says() {
    assert_eq!(seen("\u{feff}data: a\n\n"), [event(None, "a")]);
    assert_eq!(
        seen("\u{feff}\u{feff}data: a\n\ndata: b\n\n"),
        [event(None, "b")]
    );
    assert_eq!(seen("data\n\n"), [event(None, "")]);
    assert_eq!(seen("data:\n\n"), [event(None, "")]);
    assert_eq!(
        seen("data: a:b\nDATA: x\n data: x\ndataa: x\n\n"),
        [event(None, "a:b")]
    );
    assert_eq!(
        seen("event: a\nevent: b\ndata: x\n\n"),
        [event(Some("b"), "x")]
    );
    assert_eq!(seen("event: a\nevent:\ndata: x\n\n"), [event(None, "x")]);
    assert_eq!(seen("event: a\n\ndata: x\n\n"), [event(None, "x")]);
    assert_eq!(
        seen("data: x\n: between\ndata: y\n\n"),
        [event(None, "x\ny")]
    );
    assert_eq!(seen(""), []);
}

#[test]
fn comments_and_fields_without_data_are_frames_without_an_event() {
    let (frames, rest) = whole(": ping\n\nretry: 10\nid: 1\n\n: c\ndata: x\n\n\n");
    assert_eq!(rest, Ok(Rest::Nothing));
    let raws: Vec<_> = frames
        .iter()
        .map(|frame| (&frame.raw[..], frame.event.is_some()))
        .collect();
    assert_eq!(
        raws,
        [
            (&b": ping\n"[..], false),
            (b"\n", false),
            (b"retry: 10\nid: 1\n\n", false),
            (b": c\n", false),
            (b"data: x\n\n", true),
            (b"\n", false)
        ]
    );
}

#[test]
fn a_frame_is_given_out_as_soon_as_it_is_whole() {
    for text in [
        ": ping\n",
        "data: x\n\n",
        "data: x\r\n\r\n",
        "data: x\r\r",
        "\n",
        "\r",
    ] {
        let mut framer = Framer::new(LIMIT);
        for chunk in chunks(text.as_bytes(), 1) {
            assert_eq!(framer.next_frame(), Ok(None));
            framer.feed(chunk);
        }
        assert_eq!(framer.next_frame().unwrap().unwrap().raw, text);
        assert!(!framer.is_partial());
    }
}

#[test]
fn a_frame_in_one_chunk_is_not_copied() {
    let chunk = Bytes::from_static(b"data: a\n\ndata: b\n\n");
    let (frames, _) = frames([chunk.clone()], LIMIT);
    assert_eq!(frames[1].raw.as_ptr(), chunk[9..].as_ptr());
}

#[test]
fn an_event_may_be_cut_at_every_byte() {
    let texts = [
        "\u{feff}event: é\r\ndata: 😀\r\n\r\n:c\r\ndata: x\r\n\r\n",
        "data: a\r\rdata: b\n\ndata: c\r\n\r\n",
        "\r\n\r\ndata: a\n\r\ndata: b\r\n\r",
    ];
    for text in texts {
        let all = whole(text);
        for cut in 0..=text.len() {
            let (head, tail) = text.as_bytes().split_at(cut);
            assert_eq!(
                frames(
                    [Bytes::copy_from_slice(head), Bytes::copy_from_slice(tail)],
                    LIMIT
                ),
                all
            );
        }
        assert_eq!(frames(chunks(text.as_bytes(), 1), LIMIT), all);
    }
}

#[test]
fn a_stream_that_breaks_off_inside_of_an_event_is_told_from_one_that_ended() {
    for text in [
        "d",
        "data: x",
        "data: x\n",
        "data: x\r\n",
        "event: x\n\ndata: y\n",
        ":",
        ": pi",
        "\u{feff}data",
        "retry: 1\n",
    ] {
        let (_, rest) = whole(text);
        assert!(
            matches!(&rest, Ok(Rest::Partial(left)) if text.ends_with(std::str::from_utf8(left).unwrap())),
            "{text:?} {rest:?}"
        );
    }
    assert!(matches!(whole(b"\xef\xbb").1, Ok(Rest::Partial(_))));
    for text in ["data: x\r\n\r", "data: x\r\r\n", "\r\n", "\u{feff}"] {
        let (mut all, rest) = whole(text);
        match rest {
            Ok(Rest::Frame(frame)) => all.push(frame),
            rest => assert_eq!(rest, Ok(Rest::Nothing), "{text:?}"),
        }
        assert_eq!(
            all.iter()
                .map(|frame| &frame.raw[..])
                .collect::<Vec<_>>()
                .concat(),
            text.as_bytes()
        );
    }
}

#[test]
fn an_event_longer_than_allowed_is_an_error_that_stays() {
    let exact = format!("data: {}\n\n", "a".repeat(92));
    for size in [1, 7, 1000] {
        assert_eq!(frames(chunks(exact.as_bytes(), size), 100).0.len(), 1);
        let (all, rest) = frames(chunks(format!("{exact}x{exact}").as_bytes(), size), 100);
        assert_eq!((all.len(), rest), (1, Err(SseError::TooLong(100))));
    }
    let mut framer = Framer::new(100);
    framer.feed(vec![b'a'; 200].into());
    assert_eq!(framer.next_frame(), Err(SseError::TooLong(100)));
    framer.feed("data: x\n\n".into());
    assert_eq!(framer.next_frame(), Err(SseError::TooLong(100)));
    assert!(framer.finish().is_err());
    for size in [1, 1 << 20] {
        let flood = vec![b'a'; 2 << 20];
        assert_eq!(
            frames(chunks(&flood, size), 1 << 20).1,
            Err(SseError::TooLong(1 << 20))
        );
        assert!(
            matches!(frames(chunks(&flood, size), 4 << 20).1, Ok(Rest::Partial(left)) if left.len() == 2 << 20)
        );
    }
}

#[test]
fn data_that_is_not_utf8_is_an_error_and_a_comment_is_not() {
    assert_eq!(whole(b"data: \xff\n\n").1, Err(SseError::NotUtf8));
    assert_eq!(
        whole(b"data: \xf0\x9f\ndata: \x98\x80\n\n").1,
        Err(SseError::NotUtf8)
    );
    assert_eq!(whole(b"event: \xff\ndata: x\n\n").1, Err(SseError::NotUtf8));
    let (frames, rest) = whole(b": \xff\nid: \xff\ndata: x\n\n");
    assert_eq!(
        (events(&frames), rest),
        (vec![event(None, "x")], Ok(Rest::Nothing))
    );
}

#[test]
fn floods_take_time_in_proportion() {
    let tiny = "data:\n\n".repeat(1_000_000);
    for size in [1, 3, 1 << 14, usize::MAX] {
        let mut framer = Framer::new(LIMIT);
        let mut count = 0;
        for chunk in chunks(tiny.as_bytes(), size) {
            framer.feed(chunk);
            while let Some(frame) = framer.next_frame().unwrap() {
                count += usize::from(frame.event.is_some());
            }
        }
        assert_eq!(count, 1_000_000);
    }
    let lines = "data:\n".repeat(100_000) + "\n";
    assert_eq!(
        frames(chunks(lines.as_bytes(), 1), 1 << 20).0[0]
            .data()
            .len(),
        99_999
    );
}

#[test]
fn the_end_of_a_stream_is_known() {
    assert!(is_done(b"[DONE]") && is_done(b" [DONE] "));
    assert!(!is_done(b"") && !is_done(b"\"[DONE]\"") && !is_done(b"[done]"));
}

#[test]
fn what_is_written_cannot_break_out_of_its_frame() {
    let written = encode(&Event {
        name: Some("a\ndata: x\n\n".into()),
        data: b"x\r\n\r\ry\n".to_vec(),
    });
    assert_eq!(
        written,
        "event: a\ndata: x\ndata: \ndata: \ndata: y\ndata: \n\n"
    );
}

fn any_stream() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => prop_oneof![Just("\n"), Just("\r\n"), Just("\r"), Just("\n\n"), Just("\r\n\r\n")].prop_map(str::to_owned),
        4 => prop_oneof![Just("data"), Just("data:"), Just("data: "), Just("event: "), Just("id: 1"), Just("retry: 1"), Just(":"), Just("\u{feff}")]
            .prop_map(str::to_owned),
        2 => "[a-c: é😀]{0,6}",
    ];
    (any::<bool>(), prop::collection::vec(part, 0..30))
        .prop_map(|(mark, parts)| if mark { "\u{feff}" } else { "" }.to_owned() + &parts.concat())
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_frames_and_they_are_the_stream(
        text in prop_oneof![any_stream().prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..60)],
        cuts in prop::collection::vec(1..9_usize, 1..8),
        at_once in any::<bool>(),
    ) {
        let all = whole(&text);
        let mut cuts = cuts.into_iter().cycle();
        let mut rest = &text[..];
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let (head, tail) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            pieces.push(Bytes::copy_from_slice(head));
            rest = tail;
        }
        if at_once {
            let mut framer = Framer::new(LIMIT);
            pieces.into_iter().for_each(|piece| framer.feed(piece));
            let mut found = Vec::new();
            while let Ok(Some(frame)) = framer.next_frame() {
                found.push(frame);
            }
            prop_assert_eq!((found, framer.finish()), all.clone());
        } else {
            prop_assert_eq!(frames(pieces, LIMIT), all.clone());
        }
        let mut raws: Vec<u8> = all.0.iter().flat_map(|frame| frame.raw.to_vec()).collect();
        match all.1 {
            Ok(Rest::Partial(left)) => raws.extend_from_slice(&left),
            Ok(Rest::Frame(frame)) => raws.extend_from_slice(&frame.raw),
            Ok(Rest::Nothing) => {}
            Err(_) => return Ok(()),
        }
        prop_assert_eq!(raws, text);
    }

    #[test]
    fn events_are_those_of_the_standard(text in any_stream()) {
        let (mut frames, rest) = whole(&text);
        let partial = match rest.unwrap() {
            Rest::Frame(frame) => {
                frames.push(frame);
                false
            }
            rest => matches!(rest, Rest::Partial(_)),
        };
        match by_the_book(&text) {
            Some(events) => {
                prop_assert!(!partial);
                prop_assert_eq!(self::events(&frames), events);
            }
            None => prop_assert!(partial),
        }
    }

    #[test]
    fn an_event_that_was_written_is_read_back(name in prop::option::of("[^\r\n]{1,9}"), data in "[^\r]{0,20}") {
        let event = Event { name: name.clone(), data: data.clone().into_bytes() };
        prop_assert_eq!(seen(std::str::from_utf8(&encode(&event)).unwrap()), [(name, data)]);
    }
}
