//! `ponte ready`: asks the node on this machine whether it can serve, for images that have no other client than the binary
//! itself. Promises an answer within seconds, and needs neither key nor database.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    config::Config,
    error::{Error, Result},
};

/// How long the node may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// More of an answer than its head and the reason.
const MOST: u64 = 4096;

/// Fails unless the node with these settings says that it is ready.
pub async fn ask(config: &Config) -> Result<()> {
    let address = reachable(config.admin_listen.unwrap_or(config.listen));
    let answer = timeout(PATIENCE, exchange(address))
        .await
        .map_err(|_| Error::internal(format!("{address} does not answer in time")))?
        .map_err(|error| Error::internal(format!("{address} does not answer: {error}")))?;
    let head = answer.lines().next().unwrap_or_default();
    if head.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    let reason = answer.rsplit("\r\n").next().unwrap_or_default();
    Err(Error::internal(format!("{address}: {head} {reason}")))
}

async fn exchange(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request =
        format!("GET /health/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Where to connect to for an address that is listened on.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
