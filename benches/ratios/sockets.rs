//! Clients of graphql-transport-ws that do as little as possible: they count messages, and answer pings.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const TEXT: u8 = 0x1;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// A client, subscribed.
pub struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    /// Opens a socket and subscribes to a document.
    pub async fn subscribe(address: SocketAddr, key: &str, document: &str) -> Self {
        let mut client = Self::open(address, key).await;
        client.also("1", document).await;
        client
    }

    /// Subscribes to one more document.
    pub async fn also(&mut self, id: &str, document: &str) {
        let subscribe = json!({ "id": id, "type": "subscribe", "payload": { "query": document } });
        self.send(TEXT, subscribe.to_string().as_bytes()).await;
    }

    /// Opens a socket.
    pub async fn open(address: SocketAddr, key: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        let mut client = Self {
            stream,
            read: Vec::new(),
        };
        let handshake = format!(
            "GET /graphql HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        );
        client
            .stream
            .write_all(handshake.as_bytes())
            .await
            .expect("sent");
        let head = loop {
            client.fill().await;
            if let Some(end) = client.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
        };
        assert!(client.read.starts_with(b"HTTP/1.1 101"));
        client.read.drain(..head);
        let payload = json!({ "Authorization": format!("Bearer {key}") });
        let init = json!({ "type": "connection_init", "payload": payload });
        client.send(TEXT, init.to_string().as_bytes()).await;
        client.message().await;
        client
    }

    /// The next message's bytes on the wire.
    pub async fn message(&mut self) -> usize {
        loop {
            while let Some((kind, length)) = frame(&self.read) {
                self.read.drain(..length);
                match kind {
                    TEXT => return length,
                    PING => self.send(PONG, b"").await,
                    _ => {}
                }
            }
            self.fill().await;
        }
    }

    /// Counts messages until the server is gone.
    pub async fn count(mut self, counted: Arc<AtomicUsize>) {
        loop {
            self.message().await;
            counted.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn fill(&mut self) {
        let some = self.stream.read_buf(&mut self.read).await.expect("read");
        assert!(some > 0, "the server has closed");
    }

    /// A frame whose mask changes nothing.
    async fn send(&mut self, kind: u8, payload: &[u8]) {
        let mut frame = vec![0x80 | kind];
        match u16::try_from(payload.len()).expect("short") {
            length @ 0..126 => frame.push(0x80 | u8::try_from(length).expect("below 126")),
            length => {
                frame.push(0x80 | 0x7e);
                frame.extend_from_slice(&length.to_be_bytes());
            }
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame).await.expect("sent");
    }
}

/// Kind and length of the first whole frame.
fn frame(bytes: &[u8]) -> Option<(u8, usize)> {
    let [first, second, rest @ ..] = bytes else {
        return None;
    };
    let length = match (second & 0x7f, rest) {
        (126, [high, low, ..]) => 4 + usize::from(u16::from_be_bytes([*high, *low])),
        (126, _) => return None,
        (127, _) => panic!("no message is that long"),
        (length, _) => 2 + usize::from(length),
    };
    (bytes.len() >= length).then_some((first & 0x0f, length))
}
