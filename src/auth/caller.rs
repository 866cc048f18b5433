//! From where a call came: what the audit log tells beside who it was.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The request that an operation is part of, as far as the transport knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Its id, as in its answer and in the log.
    pub request: Option<Uuid>,
    /// Where it comes from, behind trusted proxies.
    pub address: Option<IpAddr>,
}

impl From<IpAddr> for Caller {
    fn from(address: IpAddr) -> Self {
        Self {
            request: None,
            address: Some(address),
        }
    }
}

impl From<[u8; 4]> for Caller {
    fn from(address: [u8; 4]) -> Self {
        IpAddr::from(address).into()
    }
}
