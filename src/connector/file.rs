//! The connector that imports a bank statement as a file (OFX).
//!
//! The file is the login: it is read and judged whole before the login succeeds, so that nothing is imported of a file
//! that is wrong anywhere. Every call gets the file again and the session is empty; reading is fast enough to repeat.

use async_trait::async_trait;
use bytes::Bytes;
use entity::kind::{AccountType, ExecutionStatus, Product};
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use zeroize::Zeroizing;

use super::{
    BATCH_ROWS, Batch, Call, Connector, ConnectorKind, Credentials, Descriptor, Failure, Field,
    FieldKind, Login, Request, Session, SourceKind,
    ofx::{self, Document, Statement},
};

/// The id of [`FileConnector`].
pub const FILE_CONNECTOR_ID: i32 = 900;

/// Name of the parameter that holds the file.
const PARAMETER: &str = "file";

/// Imports bank statements from files.
pub struct FileConnector {
    descriptor: Descriptor,
}

impl Default for FileConnector {
    fn default() -> Self {
        Self::new()
    }
}

impl FileConnector {
    /// The connector.
    pub fn new() -> Self {
        let file = Field {
            name: PARAMETER.to_owned(),
            label: "Statement file".to_owned(),
            kind: FieldKind::File,
            assistive_text: Some("An OFX or QFX file, as your bank offers it for download".to_owned()),
            instructions: Some(
                "Download a statement from your bank in the format OFX (also called QFX or Money) and choose it here. \
                 Overlapping files do no harm: a movement is imported once."
                    .to_owned(),
            ),
            ..Field::default()
        };
        Self {
            descriptor: Descriptor {
                id: FILE_CONNECTOR_ID,
                name: "Bank statement file (OFX)",
                kind: ConnectorKind::Other,
                country: None,
                institution_url: None,
                image_url: None,
                primary_color: None,
                reset_password_url: None,
                credentials: vec![file],
                products: vec![
                    Product::Accounts,
                    Product::CreditCards,
                    Product::Transactions,
                ],
                has_mfa: false,
                oauth: false,
                is_sandbox: false,
                is_open_finance: false,
                source: SourceKind::File,
                overlap_days: 0,
                trusts_device: false,
                has_live_balance: false,
                consent_lasts: None,
            },
        }
    }
}

#[async_trait]
impl Connector for FileConnector {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    async fn login(&self, call: &Call, _: &Credentials) -> Result<Login, Failure> {
        read(call.files.get(PARAMETER).cloned()).await?;
        Ok(Login::Connected(Session(Zeroizing::new(Vec::new()))))
    }

    async fn answer(&self, _: &Call, _: &Session, _: &Credentials) -> Result<Login, Failure> {
        Err(asks_nothing())
    }

    async fn poll(&self, _: &Call, _: &Session) -> Result<Login, Failure> {
        Err(asks_nothing())
    }

    fn collect(
        &self,
        call: Call,
        _: Session,
        request: Request,
    ) -> BoxStream<'static, Result<Batch, Failure>> {
        let file = call.files.get(PARAMETER).cloned();
        let batches = async move {
            Ok(stream::iter(
                batches(read(file).await?, request.product).map(Ok),
            ))
        };
        stream::once(batches).try_flatten().boxed()
    }
}

/// Reads the file beside the asynchronous work, since a large one takes a while.
async fn read(file: Option<Bytes>) -> Result<Document, Failure> {
    let invalid = |message| Failure::new(ExecutionStatus::InvalidCredentials, message);
    let file = file.ok_or_else(|| invalid("the file is gone; upload it again".to_owned()))?;
    match tokio::task::spawn_blocking(move || ofx::parse(&file)).await {
        Ok(Ok(document)) => Ok(document),
        Ok(Err(error)) => Err(Failure {
            provider_message: error.provider_message.clone(),
            ..invalid(error.to_string())
        }),
        Err(_) => Err(Failure::new(
            ExecutionStatus::UnexpectedError,
            "the file could not be read",
        )),
    }
}

fn asks_nothing() -> Failure {
    Failure::new(ExecutionStatus::UnexpectedError, "a file asks no question")
}

/// What a product is of a document. Rows are moved out batch by batch, not copied.
fn batches(document: Document, product: Product) -> Box<dyn Iterator<Item = Batch> + Send> {
    let statements = document.statements.into_iter();
    match product {
        Product::Accounts => {
            let accounts = accounts(statements, AccountType::Bank);
            Box::new(accounts.chain(document.account_warnings.into_iter().map(Batch::Warning)))
        }
        Product::CreditCards => Box::new(accounts(statements, AccountType::Credit)),
        Product::Transactions => {
            let movements = statements.flat_map(|statement| {
                let account = statement.account.key;
                let rows =
                    in_batches(statement.rows.into_iter()).map(move |rows| Batch::Transactions {
                        account: account.clone(),
                        rows,
                    });
                rows.chain(statement.coverage.map(Batch::Covered))
            });
            Box::new(
                movements.chain(
                    document
                        .transaction_warnings
                        .into_iter()
                        .map(Batch::Warning),
                ),
            )
        }
        _ => Box::new(std::iter::empty()),
    }
}

fn accounts(
    statements: impl Iterator<Item = Statement> + Send + 'static,
    kind: AccountType,
) -> impl Iterator<Item = Batch> + Send {
    let accounts = statements.map(|statement| statement.account);
    in_batches(accounts.filter(move |account| account.kind == kind)).map(Batch::Accounts)
}

fn in_batches<T>(mut all: impl Iterator<Item = T>) -> impl Iterator<Item = Vec<T>> {
    std::iter::from_fn(move || {
        let batch: Vec<T> = all.by_ref().take(BATCH_ROWS).collect();
        (!batch.is_empty()).then_some(batch)
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use chrono::NaiveDate;

    use super::*;
    use crate::{
        clock::{Clock, Timestamp},
        connector::{Coverage, Laboratory, Memory, Requests, Warning, Window},
    };

    fn call(file: Option<&[u8]>) -> Call {
        let file = file.map(|bytes| (PARAMETER.to_owned(), Bytes::copy_from_slice(bytes)));
        Call {
            clock: Clock::manual(Timestamp(0)),
            sandbox_step: Duration::ZERO,
            files: BTreeMap::from_iter(file),
            memory: Memory::default(),
            oauth: None,
            laboratory: Laboratory::default(),
            granted: None,
            requests: Requests::default(),
        }
    }

    async fn login(file: Option<&[u8]>) -> Result<Login, Failure> {
        FileConnector::new()
            .login(&call(file), &Credentials::default())
            .await
    }

    async fn collect(file: &[u8], product: Product) -> Vec<Batch> {
        let session = Session(Zeroizing::new(Vec::new()));
        let request = Request {
            product,
            windows: Vec::new(),
        };
        let batches = FileConnector::new().collect(call(Some(file)), session, request);
        batches.try_collect().await.expect("the file is good")
    }

    /// A bank account with so many movements, a card, positions and a list of pending movements.
    fn file(rows: usize) -> Vec<u8> {
        let rows = "<STMTTRN><DTPOSTED>20240102<TRNAMT>-1.00<NAME>Tea</STMTTRN>".repeat(rows);
        format!(
            "<OFX><STMTRS><CURDEF>EUR<BANKACCTFROM><ACCTID>1</BANKACCTFROM><BANKTRANLIST><DTSTART>20240101<DTEND>20240131\
             {rows}</BANKTRANLIST><BANKTRANLISTP><DTASOF>20240131</BANKTRANLISTP></STMTRS><CCSTMTRS><CCACCTFROM>\
             <ACCTID>4111111111111111</CCACCTFROM></CCSTMTRS><INVSTMTRS><INVACCTFROM><ACCTID>2</INVACCTFROM><INVPOSLIST>\
             <POSSTOCK></POSSTOCK></INVPOSLIST></INVSTMTRS></OFX>"
        )
        .into_bytes()
    }

    #[tokio::test]
    async fn a_good_file_is_a_login_and_a_bad_one_says_where_it_is_wrong() {
        let Ok(Login::Connected(session)) = login(Some(&file(1))).await else {
            panic!("the file is good");
        };
        assert!(session.0.is_empty());
        for (bytes, message, provider_message) in [
            (None, "the file is gone; upload it again", None),
            (Some(&b"PK"[..]), "line 1: this is not an OFX file: there is no <OFX> element", None),
            (
                Some(b"\n<OFX><STATUS><SEVERITY>ERROR<CODE>2000<MESSAGE>General error</STATUS></OFX>"),
                "line 2: the institution answered with error 2000 instead of a statement",
                Some("General error"),
            ),
        ] {
            let failure = login(bytes).await.expect_err(message);
            assert_eq!(
                failure,
                Failure {
                    code: ExecutionStatus::InvalidCredentials,
                    message: message.to_owned(),
                    provider_message: provider_message.map(str::to_owned),
                    attributes: BTreeMap::new(),
                }
            );
        }
    }

    #[tokio::test]
    async fn a_run_without_its_file_collects_nothing_and_says_so() {
        let session = Session(Zeroizing::new(Vec::new()));
        let request = Request {
            product: Product::Accounts,
            windows: Vec::new(),
        };
        let batches: Vec<_> = FileConnector::new()
            .collect(call(None), session, request)
            .collect()
            .await;
        let [Err(failure)] = batches.as_slice() else {
            panic!("{batches:?}");
        };
        assert_eq!(failure.message, "the file is gone; upload it again");
    }

    #[tokio::test]
    async fn each_product_streams_its_part_in_bounded_batches() {
        let file = file(2 * BATCH_ROWS + 1);
        let warning = |code: &str, message: &str| Warning {
            code: code.to_owned(),
            message: message.to_owned(),
            provider_message: None,
        };

        let batches = collect(&file, Product::Accounts).await;
        let [Batch::Accounts(accounts), Batch::Warning(said)] = batches.as_slice() else {
            panic!("{batches:?}");
        };
        let keys: Vec<_> = accounts
            .iter()
            .map(|account| account.key.as_str())
            .collect();
        assert_eq!(keys, ["bank///1//EUR", "investment//2/XXX"]);
        assert_eq!(
            *said,
            warning(
                "INVESTMENTS_NOT_IMPORTED",
                "Positions and trades are not imported, only the movements of cash."
            )
        );

        let batches = collect(&file, Product::CreditCards).await;
        let [Batch::Accounts(cards)] = batches.as_slice() else {
            panic!("{batches:?}");
        };
        assert_eq!(cards[0].number, "xxxx1111");

        let mut sizes = Vec::new();
        let mut rest = Vec::new();
        for batch in collect(&file, Product::Transactions).await {
            match batch {
                Batch::Transactions { account, rows } => sizes.push((account, rows.len())),
                Batch::Covered(coverage) => rest.push(Ok(coverage)),
                Batch::Warning(warning) => rest.push(Err(warning)),
                other => panic!("{other:?}"),
            }
        }
        let key = "bank///1//EUR".to_owned();
        assert_eq!(
            sizes,
            [
                (key.clone(), BATCH_ROWS),
                (key.clone(), BATCH_ROWS),
                (key.clone(), 1)
            ]
        );
        let day = |day| NaiveDate::from_ymd_opt(2024, 1, day).expect("a day of January");
        assert_eq!(
            rest,
            [
                Ok(Coverage {
                    account: key,
                    window: Window {
                        from: day(1),
                        to: day(31)
                    },
                    complete: true
                }),
                Err(warning(
                    "PENDING_NOT_IMPORTED",
                    "Movements that the institution has not posted yet are not imported."
                )),
            ]
        );

        assert!(collect(&file, Product::Identity).await.is_empty());
    }

    #[tokio::test]
    async fn a_file_asks_no_question() {
        let (connector, call) = (FileConnector::new(), call(None));
        let session = Session(Zeroizing::new(Vec::new()));
        assert!(
            connector
                .answer(&call, &session, &Credentials::default())
                .await
                .is_err()
        );
        assert!(connector.poll(&call, &session).await.is_err());
        assert_eq!(connector.descriptor().id, FILE_CONNECTOR_ID);
    }
}
