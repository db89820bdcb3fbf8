//! Extended CONNECT (RFC 8441), by which HTTP/2 would open a WebSocket: it is not offered.

use super::*;

const SETTINGS: u8 = 4;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const ENABLE_CONNECT_PROTOCOL: u16 = 8;
const PROTOCOL_ERROR: u32 = 1;

struct Frame {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// The head of a request, without a body: each field a literal that nobody remembers.
fn request(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    const END_STREAM_AND_HEADERS: u8 = 0x5;
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    frame(HEADERS, END_STREAM_AND_HEADERS, stream, &block)
}

async fn next(client: &mut TcpStream) -> Frame {
    let mut head = [0; 9];
    let read = timeout(PATIENCE, client.read_exact(&mut head)).await;
    read.unwrap().unwrap();
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |all, byte| (all << 8) | u32::from(*byte))
    };
    let mut payload = vec![0; number(&head[..3]) as usize];
    client.read_exact(&mut payload).await.unwrap();
    Frame {
        kind: head[3],
        stream: number(&head[5..]),
        payload,
    }
}

#[tokio::test]
async fn a_websocket_over_http_2_is_not_offered_and_who_asks_all_the_same_is_reset() {
    let mut behind = Behind::start().await;
    let site = site(&behind, "", "", "").await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let opening = [&preface[..], &frame(SETTINGS, 0, 0, &[])].concat();
    let mut client = TcpStream::connect(site.gateway.addr()).await.unwrap();
    client.write_all(&opening).await.unwrap();
    let settings = next(&mut client).await;
    assert_eq!((settings.kind, settings.stream), (SETTINGS, 0));
    for setting in settings.payload.chunks(6) {
        let name = u16::from_be_bytes([setting[0], setting[1]]);
        assert_ne!(name, ENABLE_CONNECT_PROTOCOL, "{:?}", settings.payload);
    }

    let head = [
        (":scheme", "http"),
        (":authority", "gateway"),
        (":path", "/v1/realtime"),
    ];
    let asked = [(":method", "CONNECT"), (":protocol", "websocket")];
    let asked = [&asked[..], &head, &[("sec-websocket-version", "13")]].concat();
    client.write_all(&request(1, &asked)).await.unwrap();
    let answer = loop {
        let frame = next(&mut client).await;
        if frame.stream == 1 {
            break frame;
        }
    };
    let reason = PROTOCOL_ERROR.to_be_bytes().to_vec();
    assert_eq!((answer.kind, answer.payload), (RST_STREAM, reason));
    assert!(behind.is_left_alone());

    // The others of its connection do not notice.
    let plain = [&[(":method", "GET")][..], &head].concat();
    client.write_all(&request(3, &plain)).await.unwrap();
    let conversation = behind.next().await;
    assert!(
        conversation
            .head
            .starts_with("GET /v1/realtime HTTP/1.1\r\n"),
        "{}",
        conversation.head
    );
    // Without a protocol it is the CONNECT that no gateway serves.
    let tunnel = [(":method", "CONNECT"), (":authority", "gateway:80")];
    client.write_all(&request(5, &tunnel)).await.unwrap();
    let line = site.exchanges(1).await.pop().unwrap();
    assert_eq!(line["error"], "method_not_allowed", "{line}");
    assert!(behind.is_left_alone());
}
