//! Where this node connects to, and under which name it is reached.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use url::Url;

use super::{Deployment, Finding};
use crate::{bus, config::Config, db::Engine, error::Result};

/// How long a name may take to be found, and a connection to be made.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn check(on: &Deployment<'_>) -> Result<Vec<Finding>> {
    let mut findings = judge_networks(on.config);
    if let Some(url) = &on.config.public_url {
        findings.push(reach(url).await);
    }
    Ok(findings)
}

/// Whether NATS answers, and whether the way there is closed to others. Nodes go on without it, so nothing of it is a failure.
pub(super) async fn nats(on: &Deployment<'_>) -> Result<Vec<Finding>> {
    let reached = bus::reach_nats(on.config).await;
    Ok(judge_nats(on.config, &reached))
}

/// Judges NATS by its settings and by how it answered.
pub fn judge_nats(config: &Config, reached: &Result<Option<String>>) -> Vec<Finding> {
    const CHECK: &str = "nats";
    let Some(url) = &config.nats_url else {
        let found = match config.engine {
            Engine::Sqlite => "not used: one node needs none",
            Engine::Postgres => "not used: PostgreSQL wakes the nodes",
        };
        return vec![Finding::ok(CHECK, found)];
    };
    let answer = match reached {
        Ok(version) => Finding::ok(
            CHECK,
            format!("{} answers", version.as_deref().unwrap_or("the server")),
        ),
        Err(error) => Finding::warn(
            CHECK,
            error.in_full(),
            "check PONTE_NATS_URL, PONTE_NATS_CREDENTIALS_FILE and the network; nodes read the log meanwhile, which costs the database more",
        ),
    };
    let mut open = Vec::new();
    for url in url.expose_secret().split(',') {
        let Ok(url) = Url::parse(url.trim()) else {
            continue;
        };
        let host = url.host_str().unwrap_or_default();
        if url.scheme() != "tls" && !matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
            open.push("what nodes tell each other may cross the network in the clear");
        }
        if url.username().is_empty() && config.nats_credentials_file.is_none() {
            open.push("whoever reaches it may listen");
        }
    }
    open.sort_unstable();
    open.dedup();
    let access = if open.is_empty() {
        Finding::ok("nats.access", "by TLS, with credentials")
    } else {
        Finding::warn(
            "nats.access",
            open.join("; "),
            "give nodes credentials of their own and let PONTE_NATS_URL begin with tls://, unless nobody else shares a network with it",
        )
    };
    vec![answer, access]
}

/// Judges the networks that webhooks may reach and the public address, as they are set.
pub fn judge_networks(config: &Config) -> Vec<Finding> {
    vec![opened(config), public(config)]
}

fn opened(config: &Config) -> Finding {
    const CHECK: &str = "egress.networks";
    const REMEDY: &str = "empty PONTE_WEBHOOK_ALLOW_NETWORKS, or name only the networks that clients' webhooks are meant to reach";
    let networks = &config.webhook_allow_networks;
    if networks.is_empty() {
        return Finding::ok(CHECK, "webhooks reach public addresses alone, by https");
    }
    let named: Vec<_> = networks.iter().map(ToString::to_string).collect();
    let found = format!(
        "webhooks reach {} too, also by plain http: whoever has an API key can knock there",
        named.join(", ")
    );
    if networks.iter().any(|network| network.prefix_len() == 0) {
        Finding::fail(CHECK, found, REMEDY)
    } else {
        Finding::warn(CHECK, found, REMEDY)
    }
}

fn public(config: &Config) -> Finding {
    const CHECK: &str = "egress.public_url";
    let server = config.engine == Engine::Postgres;
    match &config.public_url {
        Some(url) if url.scheme() == "https" => Finding::ok(CHECK, url.as_str()),
        Some(url) if server => Finding::warn(
            CHECK,
            format!("{url} is not https"),
            "let clients come by https and say so in PONTE_PUBLIC_URL",
        ),
        Some(url) => Finding::ok(CHECK, url.as_str()),
        None if server => Finding::warn(
            CHECK,
            "not set",
            "set PONTE_PUBLIC_URL to the address under which clients reach Ponte",
        ),
        None => Finding::ok(CHECK, "not set: the listening address"),
    }
}

/// Whether the public name is found from here and answers. Where a network does not lead back to itself, that it does not is no harm.
async fn reach(url: &Url) -> Finding {
    const CHECK: &str = "egress.dns";
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Finding::fail(
            CHECK,
            format!("{url} names no host and port"),
            "set PONTE_PUBLIC_URL to an address such as https://ponte.example.com",
        );
    };
    let host = host.trim_matches(['[', ']']);
    let addresses: Vec<_> = match timeout(PATIENCE, lookup_host((host, port))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    let Some(address) = addresses.first() else {
        return Finding::fail(
            CHECK,
            format!("{host} is not found"),
            "look at the name in PONTE_PUBLIC_URL and at this machine's resolver: webhooks need it too",
        );
    };
    match timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Finding::ok(CHECK, format!("{host} is {}, which answers", address.ip())),
        Ok(Err(_)) | Err(_) => Finding::warn(
            CHECK,
            format!(
                "{host} is {}, and port {port} does not answer from here",
                address.ip()
            ),
            "check that the proxy runs, and that this machine may connect out; where the network does not lead back to itself, nothing is amiss",
        ),
    }
}
