//! Metadata records about brokers and controllers.

use crate::message::messages;
use crate::uuid::Uuid;

messages! {
    /// A broker is there: the whole of its registration. v1: controlled shutdown. v2: migration.
    /// v3: log directories. v4: cordoned ones.
    RegisterBrokerRecord, flexible 0 {
        /// Its number.
        broker_id: i32 => 0+;
        /// A leftover of ZooKeeper.
        is_migrating_zk_broker: bool => 2+;
        /// This run of it.
        incarnation_id: Uuid => 0+;
        /// The offset of its registration.
        broker_epoch: i64 => 0+;
        /// Where it is reached.
        end_points: Vec<BrokerEndpoint> => 0+;
        /// What it can do.
        features: Vec<BrokerFeature> => 0+;
        /// Where it stands.
        rack: Option<String> => 0+, null 0+, default Some(String::new());
        /// It may not lead yet.
        fenced: bool => 0+, default true;
        /// It is leaving.
        in_controlled_shutdown: bool => 1+;
        /// Its log directories.
        log_dirs: Vec<Uuid> => 3+, tag 0;
        /// Those that take no new partitions.
        cordoned_log_dirs: Option<Vec<Uuid>> => 4+, null 4+, tag 1;
    }

    /// Where a broker is reached.
    BrokerEndpoint, flexible 0 {
        /// The listener's name.
        name: String => 0+;
        /// The host.
        host: String => 0+;
        /// The port.
        port: u16 => 0+;
        /// 0 plaintext, 1 TLS, 2 SASL, 3 SASL over TLS.
        security_protocol: i16 => 0+;
    }

    /// What a broker can do.
    BrokerFeature, flexible 0 {
        /// The feature.
        name: String => 0+;
        /// The smallest level.
        min_supported_version: i16 => 0+;
        /// The largest level.
        max_supported_version: i16 => 0+;
    }

    /// A broker is gone for good.
    UnregisterBrokerRecord, flexible 0 {
        /// Its number.
        broker_id: i32 => 0+;
        /// Its epoch.
        broker_epoch: i64 => 0+;
    }

    /// A broker is fenced.
    FenceBrokerRecord, flexible 0 {
        /// Its number.
        id: i32 => 0+;
        /// Its epoch.
        epoch: i64 => 0+;
    }

    /// A broker is no longer fenced.
    UnfenceBrokerRecord, flexible 0 {
        /// Its number.
        id: i32 => 0+;
        /// Its epoch.
        epoch: i64 => 0+;
    }

    /// A broker's registration has changed. Written in the lowest version that fits.
    BrokerRegistrationChangeRecord, flexible 0 {
        /// Its number.
        broker_id: i32 => 0+;
        /// Its epoch.
        broker_epoch: i64 => 0+;
        /// 1 fence, -1 unfence, 0 keep.
        fenced: i8 => 0+, tag 0;
        /// 1 set, 0 keep.
        in_controlled_shutdown: i8 => 1+, tag 1;
        /// Its log directories; none is keep.
        log_dirs: Vec<Uuid> => 2+, tag 2;
        /// Those that take no new partitions; null is keep.
        cordoned_log_dirs: Option<Vec<Uuid>> => 3+, null 3+, tag 3;
    }

    /// A controller is there.
    RegisterControllerRecord, flexible 0 {
        /// Its number.
        controller_id: i32 => 0+;
        /// This run of it.
        incarnation_id: Uuid => 0+;
        /// A leftover of ZooKeeper.
        zk_migration_ready: bool => 0+;
        /// Where it is reached.
        end_points: Vec<ControllerEndpoint> => 0+;
        /// What it can do.
        features: Vec<ControllerFeature> => 0+;
    }

    /// Where a controller is reached.
    ControllerEndpoint, flexible 0 {
        /// The listener's name.
        name: String => 0+;
        /// The host.
        host: String => 0+;
        /// The port.
        port: u16 => 0+;
        /// 0 plaintext, 1 TLS, 2 SASL, 3 SASL over TLS.
        security_protocol: i16 => 0+;
    }

    /// What a controller can do.
    ControllerFeature, flexible 0 {
        /// The feature.
        name: String => 0+;
        /// The smallest level.
        min_supported_version: i16 => 0+;
        /// The largest level.
        max_supported_version: i16 => 0+;
    }

    /// A controller is gone.
    UnregisterControllerRecord, flexible 0 {
        /// Its number.
        controller_id: i32 => 0+;
    }
}
