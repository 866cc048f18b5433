//! A scripted resolver and scripted endpoints on real sockets, which count who connects.

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use url::Url;

use super::{Client, Lookup, Outgoing, Policy};

mod policy;
mod sending;

pub const TIMEOUT: Duration = Duration::from_secs(5);

pub fn policy(networks: &[&str]) -> Policy {
    Policy::new(networks.iter().map(|net| net.parse().unwrap()).collect())
}

pub fn outgoing(url: &str) -> Outgoing {
    Outgoing {
        url: Url::parse(url).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{}"),
    }
}

/// A resolver that gives one prepared answer after the other, the last one for ever.
pub struct Script {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Script {
    pub fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |answer: &&[&str]| answer.iter().map(|ip| ip.parse().unwrap()).collect();
        Arc::new(Self {
            answers: answers.iter().map(parse).collect(),
            asked: AtomicUsize::new(0),
        })
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Lookup for Script {
    async fn lookup(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        let turn = self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers.get(turn).or(self.answers.last());
        answer.cloned().ok_or(io::ErrorKind::NotFound.into())
    }
}

pub fn client(networks: &[&str], script: &Arc<Script>) -> Client {
    Client::with_lookup(policy(networks), Arc::clone(script)).unwrap()
}

/// What an endpoint does once it has read the head of a request.
#[derive(Clone, Copy)]
pub enum Manner {
    /// Sends this and keeps the connection.
    Answers(&'static str),
    /// Sends this and closes.
    AnswersAndCloses(&'static str),
    /// Sends the first and then the second for ever, with a pause between.
    Repeats(&'static str, &'static str, Duration),
    /// Sends nothing.
    Hangs,
    /// Resets the connection.
    Resets,
}

pub const NO_CONTENT: Manner = Manner::Answers("HTTP/1.1 204 No Content\r\n\r\n");

/// An endpoint on one port of every local address.
pub struct Endpoint {
    pub port: u16,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    /// Stop with the endpoint.
    listeners: JoinSet<()>,
}

impl Endpoint {
    pub async fn start(manner: Manner) -> Self {
        let v4 = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = v4.local_addr().unwrap().port();
        let mut endpoint = Self {
            port,
            connections: Arc::default(),
            requests: Arc::default(),
            listeners: JoinSet::new(),
        };
        endpoint.listen(v4, manner);
        // Absent on machines without IPv6.
        if let Ok(v6) = TcpListener::bind(("::1", port)).await {
            endpoint.listen(v6, manner);
        }
        endpoint
    }

    fn listen(&mut self, listener: TcpListener, manner: Manner) {
        let (connections, requests) = (Arc::clone(&self.connections), Arc::clone(&self.requests));
        self.listeners.spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                served.spawn(serve(stream, manner, Arc::clone(&requests)));
            }
        });
    }

    /// How many connections have been made. Whoever asks has waited for the outcome of the request, and a connection
    /// that was made is accepted as soon as the listener runs.
    pub async fn connections(&self) -> usize {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        self.connections.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, requests: Arc<Mutex<Vec<String>>>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        let request = String::from_utf8_lossy(&buffer[..read]).into_owned();
        requests.lock().unwrap().push(request);
        match manner {
            Manner::Answers(answer) => {
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            Manner::AnswersAndCloses(answer) => {
                let _ = stream.write_all(answer.as_bytes()).await;
                return;
            }
            Manner::Repeats(first, then, pause) => {
                let mut part = first;
                while stream.write_all(part.as_bytes()).await.is_ok() {
                    part = then;
                    tokio::time::sleep(pause).await;
                }
                return;
            }
            Manner::Hangs => std::future::pending().await,
            Manner::Resets => {
                let _ = stream.set_zero_linger();
                return;
            }
        }
    }
}
