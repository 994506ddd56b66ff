//! The hash of a group's topics, against Kafka's own library.

use ringlog_wire::Uuid;

use crate::group::consumer::hash::{Topic, of_group};

/// As hash4j 0.22, which Kafka 4.3 uses, computes them.
#[test]
fn rule_76_the_hash_is_kafkas() {
    let id = Uuid([1, 2, 3, 4, 5, 6, 7, 8, 17, 18, 19, 20, 21, 22, 23, 24]);
    let orders = || Topic { id, name: "orders", partitions: 3, rack: None };
    let payments =
        || Topic { id, name: "payments-with-a-long-name", partitions: 40, rack: Some("rack-a") };
    assert_eq!(of_group([].into_iter()), 0);
    assert_eq!(of_group([orders()].into_iter()), 8_632_239_608_810_869_865);
    assert_eq!(of_group([orders(), payments()].into_iter()), 1_672_512_965_806_286_714);
}
