//! What only companies have.

use super::super::{
    super::scalar::{Date, Decimal},
    document::{document, words},
};

document!(
    /// Who owns or runs a company. What the institution does not tell is null.
    Party {
        /// In which role.
        #[graphql(name = "type")]
        kind: Option<PartyType> = word("type"),
        /// `type` in the institution's word.
        type_raw: Option<&str> = text("type"),
        /// Whether it is a person.
        person_type: Option<PartyPersonType> = word("personType"),
        /// `personType` in the institution's word.
        person_type_raw: Option<&str> = text("personType"),
        /// Kind of document.
        document_type: Option<PartyDocumentType> = word("documentType"),
        /// `documentType` in the institution's word.
        document_type_raw: Option<&str> = text("documentType"),
        /// Number of the document.
        document_number: Option<&str> = text("documentNumber"),
        /// Country that issued the document, as the institution writes it.
        document_country: Option<&str> = text("documentCountry"),
        /// When the document was issued.
        document_issue_date: Option<Date> = day("documentIssueDate"),
        /// When the document ends.
        document_expiration_date: Option<Date> = day("documentExpirationDate"),
        /// More about the document.
        document_additional_info: Option<&str> = text("documentAdditionalInfo"),
        /// Name of a person.
        civil_name: Option<&str> = text("civilName"),
        /// The name that a person goes by.
        social_name: Option<&str> = text("socialName"),
        /// Name of a company.
        company_name: Option<&str> = text("companyName"),
        /// The name that a company goes by.
        trade_name: Option<&str> = text("tradeName"),
        /// Since when.
        start_date: Option<Date> = day("startDate"),
        /// Share of the company, as a fraction: 0.5 is one half.
        shareholding: Option<Decimal> = decimal("shareholding"),
    }
);

words!(
    /// In which role somebody belongs to a company.
    PartyType {
        /// Owns part of it.
        Partner,
        /// Runs it.
        Administrator,
    }
);

words!(
    /// Whether somebody is a person.
    PartyPersonType {
        /// A person.
        NaturalPerson,
        /// A company.
        LegalEntity,
    }
);

words!(
    /// Kind of a document of somebody who belongs to a company.
    PartyDocumentType {
        /// Tax number of a person.
        Cpf,
        /// Tax number of a company.
        Cnpj,
        /// Passport.
        Passport,
        /// Another document to travel with.
        OtherTravelDocument,
    }
);

document!(
    /// A document of a company abroad. What the institution does not tell is null.
    BusinessDocument {
        /// Kind, in the institution's words, such as `EIN`.
        #[graphql(name = "type")]
        kind: Option<&str> = text("type"),
        /// Number.
        number: Option<&str> = text("number"),
        /// Country that issued it, as the institution writes it.
        country: Option<&str> = text("country"),
        /// When it ends.
        expiration_date: Option<Date> = day("expirationDate"),
    }
);
