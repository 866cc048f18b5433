//! Where a request comes from, behind proxies that are trusted and no others.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::{
    extract::ConnectInfo,
    http::{Extensions, HeaderMap},
};
use ipnet::IpNet;

/// The address of a client: its connection's, or what trusted proxies say about it.
pub(super) fn of(extensions: &Extensions, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.0.ip());
    behind(peer, headers, trusted)
}

/// The right-most address in X-Forwarded-For that no trusted proxy has. What stands left of it anybody may have written.
fn behind(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let trusts = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut client = peer.to_canonical();
    let forwarded: Vec<_> = headers
        .get_all("x-forwarded-for")
        .iter()
        .flat_map(|value| value.to_str().unwrap_or("unreadable").split(','))
        .collect();
    for hop in forwarded.into_iter().rev() {
        if !trusts(client) {
            break;
        }
        match parse(hop.trim()) {
            Some(address) => client = address,
            None => break,
        }
    }
    client
}

fn parse(text: &str) -> Option<IpAddr> {
    let address = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()))
        .or_else(|_| text.trim_matches(['[', ']']).parse::<IpAddr>());
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn forwarded_addresses_are_believed_from_trusted_proxies_only_and_from_the_right() {
        let trusted = ["10.0.0.0/8".parse().expect("a network")];
        for (peer, forwarded, expected) in [
            ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
            (
                "10.0.0.1",
                "1.1.1.1, 198.51.100.1, 10.2.0.1",
                "198.51.100.1",
            ),
            ("10.0.0.1", "10.3.0.1, 10.2.0.1", "10.3.0.1"),
            ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
            ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
            ("10.0.0.1", "1.1.1.1, not an address", "10.0.0.1"),
            ("::ffff:10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ] {
            let mut headers = HeaderMap::new();
            if !forwarded.is_empty() {
                headers.insert(
                    "x-forwarded-for",
                    HeaderValue::from_str(forwarded).expect("a header value"),
                );
            }
            let peer = peer.parse().expect("an address");
            assert_eq!(
                behind(peer, &headers, &trusted).to_string(),
                expected,
                "{forwarded}"
            );
        }
    }

    #[test]
    fn several_headers_read_as_one_list() {
        let trusted = ["10.0.0.0/8".parse().expect("a network")];
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", HeaderValue::from_static("1.1.1.1"));
        headers.append("x-forwarded-for", HeaderValue::from_static("2.2.2.2"));
        let peer = "10.0.0.1".parse().expect("an address");
        assert_eq!(behind(peer, &headers, &trusted).to_string(), "2.2.2.2");
    }
}
