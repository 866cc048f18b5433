//! A TCP proxy that fails on request: one for each way between a node and what it needs.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// What becomes of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// They pass.
    Open,
    /// They are reset, old and new ones.
    Cut,
    /// What is sent is swallowed for as long as this lasts, without a word: as behind a firewall, it arrives late or never.
    Stalled,
    /// What is sent arrives so much later.
    Slow(Duration),
}

/// Listens in front of a target.
pub struct Proxy {
    address: SocketAddr,
    way: watch::Sender<Way>,
    listening: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port in front of `host:port`.
    pub async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let way = watch::Sender::new(Way::Open);
        let (target, ways) = (target.to_owned(), way.subscribe());
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, target.clone(), ways.clone()));
            }
        });
        Self {
            address,
            way,
            listening,
        }
    }

    /// A URL of the target's, through the proxy.
    pub fn through(&self, url: &str) -> String {
        let mut url = url::Url::parse(url).expect("a URL");
        url.set_port(Some(self.address.port())).expect("a host");
        url.to_string()
    }

    /// Lets connections pass, or not.
    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.way.send_replace(Way::Cut);
    }
}

async fn connection(client: TcpStream, target: String, mut ways: watch::Receiver<Way>) {
    // Dropped with unread data or without a farewell, a connection is reset.
    client.set_zero_linger().expect("a socket");
    if passes(&mut ways).await.is_none() {
        return;
    }
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    server.set_zero_linger().expect("a socket");
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // Whichever direction ends first ends the connection.
    tokio::select! {
        () = pump(from_client, to_server, ways.clone()) => {}
        () = pump(from_server, to_client, ways) => {}
    }
}

/// Returns once what is sent may pass, and how late; `None` when the connection is cut.
async fn passes(ways: &mut watch::Receiver<Way>) -> Option<Duration> {
    let way = *ways.wait_for(|way| *way != Way::Stalled).await.ok()?;
    match way {
        Way::Open => Some(Duration::ZERO),
        Way::Slow(late) => Some(late),
        Way::Cut | Way::Stalled => None,
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut ways: watch::Receiver<Way>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut cut = ways.clone();
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = cut.wait_for(|way| *way == Way::Cut) => return,
        };
        let Ok(count @ 1..) = read else { return };
        let Some(late) = passes(&mut ways).await else {
            return;
        };
        tokio::time::sleep(late).await;
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
