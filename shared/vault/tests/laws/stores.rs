use lifeboat_bench::{Fault, FaultyStore, MemoryStore, Operation, Rule, Script, conformance};

#[tokio::test]
async fn memory_keeps_every_rule_of_the_port() {
    conformance(&MemoryStore::new(), &MemoryStore::new(), "suite").await.unwrap();
}

#[tokio::test]
async fn a_faulty_store_without_faults_keeps_every_rule_of_the_port() {
    let store = || FaultyStore::new(MemoryStore::new(), Script::new());
    conformance(&store(), &store(), "suite").await.unwrap();
}

#[tokio::test]
async fn a_store_whose_reads_break_off_and_are_repeated_keeps_every_rule_of_the_port() {
    let script = Script::new();
    script.add(Rule::always(Fault::BrokenOff));
    conformance(&FaultyStore::new(MemoryStore::new(), script), &MemoryStore::new(), "suite").await.unwrap();
}

#[tokio::test]
async fn the_suite_notices_a_store_that_spoils_what_is_read() {
    for operation in
        [Operation::Get, Operation::Measure, Operation::Head, Operation::List, Operation::Put, Operation::Copy]
    {
        let script = Script::new();
        let fault = match operation {
            Operation::Head | Operation::List => Fault::FailAfterWrite,
            _ => Fault::WrongBytes,
        };
        script.add(Rule::always(fault).on(operation));
        let store = FaultyStore::new(MemoryStore::new(), script);
        assert!(conformance(&store, &MemoryStore::new(), "suite").await.is_err(), "{operation:?}");
    }
}
