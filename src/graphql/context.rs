//! What a resolver may ask its context for: the App, and who is asking.

use std::net::IpAddr;

use async_graphql::Context;

use crate::{
    app::App,
    auth::Principal,
    error::{Error, Result},
};

/// Who is asking, as a transport found out; data of every request.
#[derive(Clone, Debug)]
pub struct Asking {
    /// The principal behind the token, if there was one.
    pub principal: Option<Principal>,
    /// Where the request comes from, behind trusted proxies.
    pub address: IpAddr,
}

/// The only accessors of resolvers.
pub trait ContextExt {
    /// The node.
    fn app(&self) -> &App;

    /// Who is asking; UNAUTHENTICATED when nobody is.
    fn principal(&self) -> Result<&Principal>;

    /// Where the request comes from.
    fn address(&self) -> IpAddr;
}

impl ContextExt for Context<'_> {
    fn app(&self) -> &App {
        self.data_unchecked::<App>()
    }

    fn principal(&self) -> Result<&Principal> {
        self.data_unchecked::<Asking>()
            .principal
            .as_ref()
            .ok_or(Error::Unauthenticated(
                "a token is needed: send an API key or a connect token as Authorization: Bearer …",
            ))
    }

    fn address(&self) -> IpAddr {
        self.data_unchecked::<Asking>().address
    }
}
