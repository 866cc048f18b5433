//! What only some institutions tell of a movement, and who paid whom: between a connector's records and the columns.
//!
//! Stored without what is missing, so that a row costs what it tells. Payment data has a column of its own: it is a
//! product of its own, and stays as it was when a run has not collected it.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    connector::{PaymentRecord, TransactionDetails},
    error::{Error, Result},
};

/// What lists do not show of a transaction unless they are asked for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Particulars {
    /// What only some institutions tell; without payment data.
    pub details: TransactionDetails,
    /// Who paid whom, and how.
    pub payment: Option<PaymentRecord>,
    /// The bill that it is on.
    pub bill_id: Option<Uuid>,
}

impl Particulars {
    /// Of the columns.
    pub fn read(
        details: Option<Value>,
        payment: Option<Value>,
        bill_id: Option<Uuid>,
    ) -> Result<Self> {
        Ok(Self {
            details: details.map(from).transpose()?.unwrap_or_default(),
            payment: payment.map(from).transpose()?,
            bill_id,
        })
    }
}

/// Details and payment data as they are stored; `None` where there is nothing to tell.
pub fn stored(mut details: TransactionDetails) -> (Option<Value>, Option<Value>) {
    let payment = details.payment_data.take();
    (compact(&details), payment.as_ref().and_then(compact))
}

/// Payment data as it is stored; `None` when there is nothing to tell.
pub fn stored_payment(payment: &PaymentRecord) -> Option<Value> {
    compact(payment)
}

fn from<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(Error::internal)
}

fn compact(record: &impl Serialize) -> Option<Value> {
    telling(serde_json::to_value(record).expect("a record is plain data"))
}

/// A value without its nulls and without the objects that are empty then.
fn telling(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(fields) => {
            let fields: serde_json::Map<_, _> = fields
                .into_iter()
                .filter_map(|(name, value)| Some((name, telling(value)?)))
                .collect();
            (!fields.is_empty()).then_some(Value::Object(fields))
        }
        value => Some(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::connector::{CardRecord, MerchantRecord, ParticipantRecord};

    #[test]
    fn what_is_not_told_is_not_stored_and_comes_back_as_it_was() {
        assert_eq!(stored(TransactionDetails::default()), (None, None));
        let empty = TransactionDetails {
            merchant: Some(MerchantRecord::default()),
            payment_data: Some(PaymentRecord::default()),
            ..TransactionDetails::default()
        };
        assert_eq!(stored(empty), (None, None));

        let payment = PaymentRecord {
            payer: Some(ParticipantRecord {
                name: Some("Ana".to_owned()),
                ..ParticipantRecord::default()
            }),
            ..PaymentRecord::default()
        };
        let details = TransactionDetails {
            order: Some(2),
            card: Some(CardRecord {
                installment_number: Some(3),
                total_amount: Some(crate::money::Amount::from_cents(12_345)),
                ..CardRecord::default()
            }),
            payment_data: Some(payment.clone()),
            ..TransactionDetails::default()
        };
        let (told, paid) = stored(details.clone());
        assert_eq!(
            told,
            Some(
                json!({ "order": 2, "card": { "installmentNumber": 3, "totalAmount": "123.45" } })
            )
        );
        assert_eq!(paid, Some(json!({ "payer": { "name": "Ana" } })));
        let read = Particulars::read(told, paid, None).expect("it is ours");
        assert_eq!(read.payment, Some(payment));
        let expected = TransactionDetails {
            payment_data: None,
            ..details
        };
        assert_eq!(read.details, expected);
    }
}
