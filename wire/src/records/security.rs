//! Metadata records about who may do what, and how much.

use crate::message::messages;
use crate::uuid::Uuid;

messages! {
    /// An access control entry.
    AccessControlEntryRecord, flexible 0 {
        /// Its id.
        id: Uuid => 0+;
        /// On what kind of thing.
        resource_type: i8 => 0+;
        /// On which.
        resource_name: String => 0+;
        /// Whether the name is a prefix.
        pattern_type: i8 => 0+;
        /// Who.
        principal: String => 0+;
        /// From where.
        host: String => 0+;
        /// What.
        operation: i8 => 0+;
        /// May or may not.
        permission_type: i8 => 0+;
    }

    /// An access control entry is gone.
    RemoveAccessControlEntryRecord, flexible 0 {
        /// Its id.
        id: Uuid => 0+;
    }

    /// A quota.
    ClientQuotaRecord, flexible 0 {
        /// Whose.
        entity: Vec<EntityData> => 0+;
        /// Of what.
        key: String => 0+;
        /// How much.
        value: f64 => 0+;
        /// It is taken away.
        remove: bool => 0+;
    }

    /// Part of whose quota it is.
    EntityData, flexible 0 {
        /// User, client id or address.
        entity_type: String => 0+;
        /// Which; null is the default.
        entity_name: Option<String> => 0+, null 0+, default Some(String::new());
    }

    /// A delegation token.
    DelegationTokenRecord, flexible 0 {
        /// Whose.
        owner: String => 0+;
        /// Who asked for it.
        requester: String => 0+;
        /// Who may renew it.
        renewers: Vec<String> => 0+;
        /// Since when.
        issue_timestamp: i64 => 0+;
        /// Until when at most.
        max_timestamp: i64 => 0+;
        /// Until when.
        expiration_timestamp: i64 => 0+;
        /// Its id.
        token_id: String => 0+;
    }

    /// A delegation token is gone.
    RemoveDelegationTokenRecord, flexible 0 {
        /// Its id.
        token_id: String => 0+;
    }

    /// A user's SCRAM credential.
    UserScramCredentialRecord, flexible 0 {
        /// The user.
        name: String => 0+;
        /// 1 SHA-256, 2 SHA-512.
        mechanism: i8 => 0+;
        /// The salt.
        salt: Vec<u8> => 0+;
        /// The stored key.
        stored_key: Vec<u8> => 0+;
        /// The server's key.
        server_key: Vec<u8> => 0+;
        /// How often it was hashed.
        iterations: i32 => 0+;
    }

    /// A user's SCRAM credential is gone.
    RemoveUserScramCredentialRecord, flexible 0 {
        /// The user.
        name: String => 0+;
        /// 1 SHA-256, 2 SHA-512.
        mechanism: i8 => 0+;
    }
}
