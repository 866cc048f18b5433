//! Who holders are: what persons and companies have in common here, the rest in a file each.

mod company;
mod person;
mod relationship;

use async_graphql::{Context, Result};
use entity::{identity, kind::Product};

use self::{
    company::{BusinessDocument, Party},
    person::{MaritalStatus, Nationality, OtherDocument, Passport, Relation, Sex},
    relationship::{FinancialRelationships, Qualifications},
};
use super::{
    super::{
        loader,
        scalar::{Date, DateTime, Decimal, Id},
    },
    document::{document, read_word, words},
    item::Item,
};
use crate::error::Error;

document!(
    /// Who the holder of an Item is, a person or a company, as the institution knows them. What it does not tell is null or empty.
    Identity of identity::Model {
        /// The name that a person goes by.
        social_name: Option<&str> = text("socialName"),
        /// How much risk the holder takes.
        investor_profile: Option<InvestorProfile> = word("investorProfile"),
        /// `investorProfile` in the institution's word.
        investor_profile_raw: Option<&str> = text("investorProfile"),
        /// An acquirer's code of the holder's shop.
        establishment_code: Option<&str> = text("establishmentCode"),
        /// An acquirer's name of the holder's shop.
        establishment_name: Option<&str> = text("establishmentName"),
        /// Sex of a person.
        sex: Option<Sex> = word("sex"),
        /// `sex` in the institution's word.
        sex_raw: Option<&str> = text("sex"),
        /// Whether a person is married.
        marital_status: Option<MaritalStatus<'_>> = object("maritalStatus"),
        /// Where a person is a citizen.
        nationality: Option<Nationality<'_>> = object("nationality"),
        /// Relatives of a person.
        relations: Vec<Relation<'_>> = list("relations"),
        /// Further documents of a person.
        other_documents: Vec<OtherDocument<'_>> = list("otherDocuments"),
        /// Passport of a person.
        passport: Option<Passport<'_>> = object("passport"),
        /// Day on which a company was founded.
        incorporation_date: Option<Date> = day("incorporationDate"),
        /// Who owns or runs a company.
        parties: Vec<Party<'_>> = list("parties"),
        /// Documents of a company abroad.
        business_other_documents: Vec<BusinessDocument<'_>> = list("businessOtherDocuments"),
        /// Tax numbers (CNPJ) of the institutions that hold this record.
        companies_cnpj: Vec<&str> = texts("companiesCnpj"),
        /// What the holder does, earns and owns.
        qualifications: Option<Qualifications<'_>> = object("qualifications"),
        /// What else the holder has at the institution.
        financial_relationships: Option<FinancialRelationships<'_>> = object("financialRelationships"),
        /// Postal addresses.
        addresses: Vec<Address<'_>> = list("addresses"),
        /// Telephone numbers.
        phone_numbers: Vec<PhoneNumber<'_>> = list("phoneNumbers"),
        /// Addresses of electronic mail.
        emails: Vec<Email<'_>> = list("emails"),
    } and {
        /// Identity.
        pub async fn id(&self) -> Id {
            Id::Row(self.0.id)
        }

        /// The Item it was collected through.
        async fn item(&self, ctx: &Context<'_>) -> Result<Item> {
            let item = loader::item(ctx, self.0.item_id).await?;
            Ok(Item::from(item.ok_or(Error::NotFound { what: "item" })?))
        }

        /// Full name of the person.
        async fn full_name(&self) -> Option<&str> {
            self.0.full_name.as_deref()
        }

        /// Name of the company.
        async fn company_name(&self) -> Option<&str> {
            self.0.company_name.as_deref()
        }

        /// Number of the tax or identity document.
        async fn document(&self) -> Option<&str> {
            self.0.document.as_deref()
        }

        /// Kind of `document`.
        async fn document_type(&self) -> Option<IdentityDocumentType> {
            self.0.document_type.as_deref().map(read_word)
        }

        /// `documentType` in the institution's word.
        async fn document_type_raw(&self) -> Option<&str> {
            self.0.document_type.as_deref()
        }

        /// Tax number of the company.
        async fn tax_number(&self) -> Option<&str> {
            self.0.tax_number.as_deref()
        }

        /// Day of birth.
        async fn birth_date(&self) -> Option<Date> {
            self.0.birth_date.map(Date)
        }

        /// Occupation.
        async fn job_title(&self) -> Option<&str> {
            self.0.job_title.as_deref()
        }

        /// When it was first seen.
        async fn created_at(&self) -> DateTime {
            DateTime(self.0.created_at)
        }

        /// When the institution last confirmed it; null when it never has.
        async fn as_of(&self, ctx: &Context<'_>) -> Result<Option<DateTime>> {
            let freshness = loader::freshness(ctx, self.0.item_id, Product::Identity).await?;
            Ok(freshness.as_of.map(DateTime))
        }

        /// Whether that may be out of date: the last run was to update it and has not, or it is older than two intervals of automatic runs, than 48 hours where there are none; what a regulated institution may be asked only now and then has that time more.
        async fn stale(&self, ctx: &Context<'_>) -> Result<bool> {
            let freshness = loader::freshness(ctx, self.0.item_id, Product::Identity).await?;
            Ok(freshness.stale)
        }

        /// When it last changed.
        async fn updated_at(&self) -> DateTime {
            DateTime(self.0.updated_at)
        }
    }
);

words!(
    /// Kind of the document that a holder is known by.
    IdentityDocumentType {
        /// Tax number of a person.
        Cpf,
        /// Tax number of a company.
        Cnpj,
    }
);

words!(
    /// How much risk a holder takes.
    InvestorProfile {
        /// Little.
        Conservative = "CONSERVADOR",
        /// Some.
        Moderate = "MODERADO",
        /// Much.
        Aggressive = "ARROJADO",
    }
);

document!(
    /// A postal address. What the institution does not tell is null.
    Address {
        /// All of it in one line.
        full_address: Option<&str> = text("fullAddress"),
        /// Street and number.
        primary_address: Option<&str> = text("primaryAddress"),
        /// District.
        district: Option<&str> = text("district"),
        /// City.
        city: Option<&str> = text("city"),
        /// Code of the city at the institute of statistics (IBGE).
        ibge_town_code: Option<&str> = text("ibgeTownCode"),
        /// State or province.
        state: Option<&str> = text("state"),
        /// Postal code, as the institution writes it.
        postal_code: Option<&str> = text("postalCode"),
        /// Country, as the institution writes it.
        country: Option<&str> = text("country"),
        /// ISO 3166 alpha-3 code of the country.
        country_code: Option<&str> = text("countryCode"),
        /// What it is used for.
        #[graphql(name = "type")]
        kind: Option<ContactType> = word("type"),
        /// `type` in the institution's word.
        type_raw: Option<&str> = text("type"),
        /// Whatever else the institution notes.
        additional_info: Option<&str> = text("additionalInfo"),
        /// Where that is.
        geographic_coordinates: Option<GeographicCoordinates<'_>> = object("geographicCoordinates"),
    }
);

document!(
    /// A place on the globe. What the institution does not tell is null.
    GeographicCoordinates {
        /// Degrees north of the equator; negative to the south.
        latitude: Option<Decimal> = decimal("latitude"),
        /// Degrees east of Greenwich; negative to the west.
        longitude: Option<Decimal> = decimal("longitude"),
    }
);

document!(
    /// A telephone number. What the institution does not tell, or tell apart, is null.
    PhoneNumber {
        /// What it is used for.
        #[graphql(name = "type")]
        kind: Option<ContactType> = word("kind"),
        /// `type` in the institution's word.
        type_raw: Option<&str> = text("kind"),
        /// The number, as the institution writes it.
        value: &str = required("value"),
        /// Code of its country, such as `55`.
        country_calling_code: Option<&str> = text("countryCallingCode"),
        /// Code of its area, such as `11`.
        area_code: Option<&str> = text("areaCode"),
        /// Extension.
        extension: Option<&str> = text("extension"),
        /// Whatever else the institution notes.
        additional_info: Option<&str> = text("additionalInfo"),
    }
);

document!(
    /// An address of electronic mail.
    Email {
        /// What it is used for; null when the institution does not tell.
        #[graphql(name = "type")]
        kind: Option<ContactType> = word("kind"),
        /// `type` in the institution's word.
        type_raw: Option<&str> = text("kind"),
        /// The address.
        value: &str = required("value"),
    }
);

words!(
    /// What an address, a telephone number or an address of electronic mail is used for.
    ContactType {
        /// By the holder privately.
        Personal,
        /// At work.
        Work,
        /// At the holder's home.
        Residential = "RESIDENCIAL",
    }
);
