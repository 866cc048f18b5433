//! What stands for a connector that this version does not have, while there still are Items of it.

use async_trait::async_trait;
use entity::kind::ExecutionStatus;
use futures_util::{StreamExt as _, stream::BoxStream};

use super::{
    Batch, Call, Connector, ConnectorKind, Credentials, Descriptor, Failure, Login, Request,
    Session, SourceKind,
};

/// A connector that this version does not have: it can be shown, and does nothing.
pub(super) struct Gone(Descriptor);

impl Gone {
    /// The one with this id.
    pub(super) fn new(id: i32) -> Self {
        Self(Descriptor {
            id,
            name: "A connector that this server does not have",
            kind: ConnectorKind::Other,
            country: None,
            institution_url: None,
            image_url: None,
            primary_color: None,
            reset_password_url: None,
            credentials: Vec::new(),
            products: Vec::new(),
            has_mfa: false,
            oauth: false,
            is_sandbox: false,
            is_open_finance: false,
            source: SourceKind::Gone,
            overlap_days: 0,
            trusts_device: false,
            has_live_balance: false,
            consent_lasts: None,
        })
    }
}

#[async_trait]
impl Connector for Gone {
    fn descriptor(&self) -> &Descriptor {
        &self.0
    }

    async fn login(&self, _: &Call, _: &Credentials) -> Result<Login, Failure> {
        Err(failure())
    }

    async fn answer(&self, _: &Call, _: &Session, _: &Credentials) -> Result<Login, Failure> {
        Err(failure())
    }

    async fn poll(&self, _: &Call, _: &Session) -> Result<Login, Failure> {
        Err(failure())
    }

    fn collect(
        &self,
        _: Call,
        _: Session,
        _: Request,
    ) -> BoxStream<'static, Result<Batch, Failure>> {
        futures_util::stream::once(async { Err(failure()) }).boxed()
    }
}

fn failure() -> Failure {
    Failure::new(
        ExecutionStatus::UnexpectedError,
        "this server does not have the connector",
    )
}
