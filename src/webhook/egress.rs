//! Where webhooks may connect to.
//!
//! A [`Policy`] judges URLs when they are registered and addresses when a connection is made; a [`Client`] sends one
//! request and connects to judged addresses only. Without an allow-list that is: https, to host names whose every
//! address is public. Networks on the allow-list may be reached in any way, plain http included.
//!
//! Relies on the `url` crate to bring every notation of a host into one form. Signing, and what follows from an answer,
//! is left to others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

mod client;
#[cfg(test)]
mod tests;

pub use client::{CONTENT_TYPE, Client, Lookup, Outcome, Outgoing, USER_AGENT, check_header};

/// The longest URL that can be registered.
const URL_BYTES_MAX: usize = 2048;

/// What an operator does about a refusal; the end of most messages.
const REMEDY: &str = "unless the operator adds its network to PONTE_WEBHOOK_ALLOW_NETWORKS";

/// Top-level names that lead nowhere or only inside, whatever a resolver makes of them.
const INTERNAL_NAMES: [&str; 16] = [
    "alt",
    "arpa",
    "corp",
    "example",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "mail",
    "onion",
    "private",
    "svc",
    "test",
];

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(head: [u16; 3], prefix: u8) -> Ipv6Net {
    let [a, b, c] = head;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// What in IPv4 is not public, by IANA's registry of special purposes, and one address of a cloud's metadata.
const REFUSED_V4: [(Ipv4Net, &str); 17] = [
    (v4(0, 0, 0, 0, 8), "unspecified"),
    (v4(10, 0, 0, 0, 8), "private"),
    (v4(100, 64, 0, 0, 10), "shared"),
    (v4(127, 0, 0, 0, 8), "loopback"),
    (v4(168, 63, 129, 16, 32), "metadata"),
    (v4(169, 254, 0, 0, 16), "link-local"),
    (v4(172, 16, 0, 0, 12), "private"),
    (v4(192, 0, 0, 0, 24), "reserved"),
    (v4(192, 0, 2, 0, 24), "documentation"),
    (v4(192, 88, 99, 0, 24), "6to4"),
    (v4(192, 168, 0, 0, 16), "private"),
    (v4(198, 18, 0, 0, 15), "benchmarking"),
    (v4(198, 51, 100, 0, 24), "documentation"),
    (v4(203, 0, 113, 0, 24), "documentation"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(255, 255, 255, 255, 32), "broadcast"),
    (v4(240, 0, 0, 0, 4), "reserved"),
];

/// The only part of IPv6 that is given out to the public.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0], 3);

/// What in IPv6 is not public, first match first; beside it everything outside [`GLOBAL_V6`].
const REFUSED_V6: [(Ipv6Net, &str); 15] = [
    (
        Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128),
        "unspecified",
    ),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), "loopback"),
    (v6([0, 0, 0], 96), "IPv4-compatible"),
    (v6([0x64, 0xff9b, 0], 96), "NAT64"),
    (v6([0x64, 0xff9b, 1], 48), "NAT64"),
    (v6([0x100, 0, 0], 64), "discard"),
    (v6([0x2001, 0, 0], 32), "Teredo"),
    (v6([0x2001, 0xdb8, 0], 32), "documentation"),
    // Benchmarking, ORCHID and other protocols' own.
    (v6([0x2001, 0, 0], 23), "reserved"),
    (v6([0x2002, 0, 0], 16), "6to4"),
    (v6([0x3fff, 0, 0], 20), "documentation"),
    (v6([0xfc00, 0, 0], 7), "private"),
    (v6([0xfe80, 0, 0], 10), "link-local"),
    (v6([0xfec0, 0, 0], 10), "site-local"),
    (v6([0xff00, 0, 0], 8), "multicast"),
];

/// An address in the one form that is judged and connected to: IPv4 carried in IPv6 becomes IPv4.
fn normalised(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
    }
}

/// What kind of address this is, when it is not public.
fn special(address: IpAddr) -> Option<&'static str> {
    match normalised(address) {
        IpAddr::V4(address) => REFUSED_V4
            .iter()
            .find(|(net, _)| net.contains(&address))
            .map(|(_, kind)| *kind),
        IpAddr::V6(address) => REFUSED_V6
            .iter()
            .find(|(net, _)| net.contains(&address))
            .map(|(_, kind)| *kind)
            .or((!GLOBAL_V6.contains(&address)).then_some("reserved")),
    }
}

/// Whether a host name means this machine by its very form.
fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// A host name in lower case without the dot of the root.
fn bare(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// What webhooks may connect to.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    allow: Vec<IpNet>,
}

impl Policy {
    /// A policy that opens the given networks beside all that is public.
    pub fn new(allow: Vec<IpNet>) -> Self {
        let allow = allow
            .into_iter()
            .map(|net| match net {
                IpNet::V6(v6) if v6.prefix_len() >= 96 => v6
                    .network()
                    .to_ipv4_mapped()
                    .and_then(|v4| Ipv4Net::new(v4, v6.prefix_len() - 96).ok())
                    .map_or(net, IpNet::V4),
                IpNet::V6(_) | IpNet::V4(_) => net,
            })
            .collect();
        Self { allow }
    }

    /// Whether an address is in one of the networks that the operator has opened.
    pub fn is_allowed(&self, address: IpAddr) -> bool {
        let address = normalised(address);
        self.allow.iter().any(|net| net.contains(&address))
    }

    /// Judges an address. A refused one is named by its kind only: the address itself could tell a client how the
    /// network around this server is laid out.
    pub fn judge(&self, address: IpAddr) -> Result<(), &'static str> {
        match special(address) {
            Some(kind) if !self.is_allowed(address) => Err(kind),
            Some(_) | None => Ok(()),
        }
    }

    /// Parses and judges a URL that is to be registered; the message fits `INVALID_INPUT`.
    ///
    /// Names are not resolved: what they lead to is judged with every connection.
    pub fn check_url(&self, url: &str) -> Result<Url, String> {
        if url.len() > URL_BYTES_MAX {
            return Err(format!("must be at most {URL_BYTES_MAX} bytes long"));
        }
        // The parser would drop some of these without a word.
        if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("must not contain white space or control characters".to_owned());
        }
        let url = Url::parse(url).map_err(|error| {
            format!("is not a valid URL ({error}); it must look like https://example.com/path")
        })?;
        self.check(&url)?;
        Ok(url)
    }

    /// Judges a parsed URL by the same rules.
    pub fn check(&self, url: &Url) -> Result<(), String> {
        if url.as_str().len() > URL_BYTES_MAX {
            return Err(format!("must be at most {URL_BYTES_MAX} bytes long"));
        }
        let plain = match url.scheme() {
            "https" => false,
            "http" => true,
            _ => return Err("must begin with https://".to_owned()),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not contain a user name or password; use headers".to_owned());
        }
        if url.fragment().is_some() {
            return Err("must not contain a fragment (#…)".to_owned());
        }
        match url.host() {
            None => Err("must name a host".to_owned()),
            Some(Host::Ipv4(address)) => self.check_literal(address.into()),
            Some(Host::Ipv6(address)) => self.check_literal(address.into()),
            Some(Host::Domain(name)) => self.check_name(&bare(name), plain),
        }
    }

    fn check_literal(&self, address: IpAddr) -> Result<(), String> {
        if self.is_allowed(address) {
            Ok(())
        } else {
            Err(format!("must name a host, not an IP address, {REMEDY}"))
        }
    }

    fn check_name(&self, name: &str, plain: bool) -> Result<(), String> {
        if name.is_empty() || name.split('.').any(str::is_empty) {
            return Err("must name a host".to_owned());
        }
        if is_localhost(name) {
            let opened = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
                .into_iter()
                .any(|address| self.is_allowed(address));
            return if opened {
                Ok(())
            } else {
                Err(format!(
                    "must not lead to this server itself, {REMEDY} (127.0.0.0/8)"
                ))
            };
        }
        if !self.allow.is_empty() {
            return Ok(());
        }
        if plain {
            return Err(format!("must begin with https://, {REMEDY}"));
        }
        let internal = name
            .rsplit_once('.')
            .is_none_or(|(_, top)| INTERNAL_NAMES.contains(&top));
        if internal {
            return Err(format!("must name a public host, {REMEDY}"));
        }
        Ok(())
    }
}
