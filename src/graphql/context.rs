//! What a resolver may ask its context for: the App, and who is asking.

use async_graphql::Context;

use crate::{
    app::App,
    auth::{Caller, Principal},
    error::{Error, Result},
};

/// Who is asking, as a transport found out; data of every request.
#[derive(Clone, Debug)]
pub struct Asking {
    principal: Option<Principal>,
    caller: Caller,
}

impl Asking {
    /// The principal behind the token, if there was one, in this request.
    pub fn new(principal: Option<Principal>, caller: Caller) -> Self {
        let principal = principal.map(|principal| Principal {
            caller,
            ..principal
        });
        Self { principal, caller }
    }

    /// The principal behind the token, if there was one.
    pub fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }
}

/// The only accessors of resolvers.
pub trait ContextExt {
    /// The node.
    fn app(&self) -> &App;

    /// Who is asking; UNAUTHENTICATED when nobody is.
    fn principal(&self) -> Result<&Principal>;

    /// The request, and where it comes from.
    fn caller(&self) -> Caller;
}

impl ContextExt for Context<'_> {
    fn app(&self) -> &App {
        self.data_unchecked::<App>()
    }

    fn principal(&self) -> Result<&Principal> {
        self.data_unchecked::<Asking>()
            .principal()
            .ok_or(Error::Unauthenticated(
                "a token is needed: send an API key or a connect token as Authorization: Bearer …",
            ))
    }

    fn caller(&self) -> Caller {
        self.data_unchecked::<Asking>().caller
    }
}
