//! Settings that are right each by itself and dangerous where they are used.

use std::net::IpAddr;

use super::Finding;
use crate::{config::Config, db::Engine};

/// Judges settings by themselves.
pub fn judge_settings(config: &Config) -> Vec<Finding> {
    let server = config.engine == Engine::Postgres;
    let mut findings = vec![listen(config), proxies(config)];
    findings.push(match config.admin_listen {
        Some(address) => Finding::ok(
            "settings.admin",
            format!("metrics and health on {address}, which is to be closed to the public"),
        ),
        None if server => Finding::warn(
            "settings.admin",
            "nobody can read this node's metrics",
            "set PONTE_ADMIN_LISTEN to an address that only your monitoring reaches",
        ),
        None => Finding::ok("settings.admin", "metrics on the port of the API"),
    });
    findings.push(if server && (config.introspection || config.graphiql) {
        Finding::warn(
            "settings.introspection",
            "whoever has a token can read the schema, or is served a console",
            "set PONTE_INTROSPECTION=false and PONTE_GRAPHIQL=false",
        )
    } else {
        Finding::ok(
            "settings.introspection",
            if config.introspection {
                "on, as is usual over an embedded database"
            } else {
                "off"
            },
        )
    });
    findings.push(if config.cors_origins.iter().any(|origin| origin == "*") {
        Finding::warn(
            "settings.cors",
            "pages of any origin may call the API with a token that they have",
            "name your origins in PONTE_CORS_ORIGINS",
        )
    } else {
        let origins = config.cors_origins.join(", ");
        Finding::ok(
            "settings.cors",
            if origins.is_empty() {
                "no other origin".to_owned()
            } else {
                origins
            },
        )
    });
    findings.push(
        if config.log.contains("debug") || config.log.contains("trace") {
            Finding::warn(
                "settings.log",
                format!("PONTE_LOG={}", config.log),
                "set it to info once you have seen what you look for: it costs time and space",
            )
        } else {
            Finding::ok("settings.log", format!("PONTE_LOG={}", config.log))
        },
    );
    findings
}

fn listen(config: &Config) -> Finding {
    let address = config.listen;
    if is_loopback(address.ip()) || !config.api {
        return Finding::ok(
            "settings.listen",
            format!("{address}, reached from this machine alone"),
        );
    }
    if config.trusted_proxies.is_empty() {
        return Finding::warn(
            "settings.listen",
            format!(
                "{address} is reached from other machines, in plain HTTP, and no proxy is named"
            ),
            "put a proxy that ends TLS before it and name its network in PONTE_TRUSTED_PROXIES; without that all clients \
             behind it count as one address",
        );
    }
    Finding::ok(
        "settings.listen",
        format!("{address}, behind a proxy that is to end TLS"),
    )
}

fn proxies(config: &Config) -> Finding {
    const CHECK: &str = "settings.proxies";
    if let Some(everyone) = config
        .trusted_proxies
        .iter()
        .find(|network| network.prefix_len() == 0)
    {
        return Finding::fail(
            CHECK,
            format!("{everyone} lets every client say which address it has"),
            "name only your proxies in PONTE_TRUSTED_PROXIES",
        );
    }
    let named: Vec<_> = config
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    Finding::ok(
        CHECK,
        if named.is_empty() {
            "none is believed".to_owned()
        } else {
            named.join(", ")
        },
    )
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
