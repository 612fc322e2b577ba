//! Functions that make values for checks, and options that name none.

#[raft_service(generate(Email = Email::any, Vec<u8> = bytes))]
impl Letters {
    fn send(&mut self, to: Vec<Option<Email>>, #[arg(generate = subject)] subject: &str) {}
}

#[raft_service(generate(Email = Email::any, &str = text, Email = other), generate = email, generate(Email), generate())]
impl Refused {
    fn send(&mut self, to: Email) {}
}

#[raft_service(generate(Email = Email::any))]
struct Misplaced {
    sent: u64,
}
