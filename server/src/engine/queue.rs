//! Who is next: clients take turns, a client's requests take turns, and a
//! request's items come in order.
//!
//! So a client with one text waits for at most one item of each other client,
//! however many those have. (Items that are short are computed beside each other, so that it
//! may be among those of others.)

use std::collections::VecDeque;

/// Items by client and request.
pub(crate) struct Queue<C, T> {
    /// Those with something to do; the next one first.
    clients: VecDeque<Client<C, T>>,
    len: usize,
}

struct Client<C, T> {
    name: C,
    /// Those with something to do; the next one first.
    requests: VecDeque<Request<T>>,
}

struct Request<T> {
    id: u64,
    items: VecDeque<T>,
}

/// An item and where it belongs.
pub(crate) struct Entry<C, T> {
    pub(crate) client: C,
    pub(crate) request: u64,
    pub(crate) item: T,
}

impl<C: Copy + PartialEq, T> Queue<C, T> {
    pub(crate) fn new() -> Self {
        Self {
            clients: VecDeque::new(),
            len: 0,
        }
    }

    /// How many items wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds a request. Its id is no other's.
    pub(crate) fn push(&mut self, client: C, id: u64, items: VecDeque<T>) {
        if items.is_empty() {
            return;
        }
        self.len += items.len();
        self.client(client)
            .requests
            .push_back(Request { id, items });
    }

    /// Puts an item back that needs more work; it is the next of its request.
    pub(crate) fn put_back(&mut self, entry: Entry<C, T>) {
        self.len += 1;
        let client = self.client(entry.client);
        let mut requests = client.requests.iter_mut();
        match requests.find(|request| request.id == entry.request) {
            Some(request) => request.items.push_front(entry.item),
            None => client.requests.push_back(Request {
                id: entry.request,
                items: VecDeque::from([entry.item]),
            }),
        }
    }

    /// Gives an item back that had no turn after all: it is the next.
    pub(crate) fn give_back(&mut self, entry: Entry<C, T>) {
        self.len += 1;
        let at = self.clients.iter().position(|it| it.name == entry.client);
        let mut client = at
            .and_then(|at| self.clients.remove(at))
            .unwrap_or_else(|| Client {
                name: entry.client,
                requests: VecDeque::new(),
            });
        let at = client.requests.iter().position(|it| it.id == entry.request);
        let mut request = at
            .and_then(|at| client.requests.remove(at))
            .unwrap_or_else(|| Request {
                id: entry.request,
                items: VecDeque::new(),
            });
        request.items.push_front(entry.item);
        client.requests.push_front(request);
        self.clients.push_front(client);
    }

    /// Takes the next item.
    pub(crate) fn pop(&mut self) -> Option<Entry<C, T>> {
        let mut client = self.clients.pop_front()?;
        let mut request = client.requests.pop_front()?;
        let item = request.items.pop_front()?;
        self.len -= 1;
        let entry = Entry {
            client: client.name,
            request: request.id,
            item,
        };
        if !request.items.is_empty() {
            client.requests.push_back(request);
        }
        if !client.requests.is_empty() {
            self.clients.push_back(client);
        }
        Some(entry)
    }

    /// Takes out all items of a request.
    pub(crate) fn remove(&mut self, id: u64) -> VecDeque<T> {
        let mut removed = VecDeque::new();
        for client in &mut self.clients {
            if let Some(at) = client.requests.iter().position(|it| it.id == id)
                && let Some(request) = client.requests.remove(at)
            {
                removed = request.items;
            }
        }
        self.clients.retain(|client| !client.requests.is_empty());
        self.len -= removed.len();
        removed
    }

    fn client(&mut self, name: C) -> &mut Client<C, T> {
        let at = self.clients.iter().position(|client| client.name == name);
        let at = at.unwrap_or_else(|| {
            self.clients.push_back(Client {
                name,
                requests: VecDeque::new(),
            });
            self.clients.len() - 1
        });
        &mut self.clients[at]
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, Queue};

    fn order(queue: &mut Queue<char, &'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.pop())
            .map(|entry| entry.item)
            .collect()
    }

    #[test]
    fn clients_and_their_requests_take_turns() {
        let mut queue = Queue::new();
        queue.push('a', 1, ["a1", "a2", "a3"].into());
        queue.push('a', 2, ["A1", "A2"].into());
        queue.push('b', 3, ["b1"].into());
        assert_eq!(queue.len(), 6);
        let expected = ["a1", "b1", "A1", "a2", "A2", "a3"];
        assert_eq!(order(&mut queue), expected);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn an_unfinished_item_comes_before_the_rest_of_its_request() {
        let mut queue = Queue::new();
        queue.push('a', 1, ["a1", "a2"].into());
        queue.push('b', 2, ["b1"].into());
        let Entry {
            client, request, ..
        } = queue.pop().unwrap();
        queue.put_back(Entry {
            client,
            request,
            item: "a1 again",
        });
        assert_eq!(order(&mut queue), ["b1", "a1 again", "a2"]);
        // Also when it was the last.
        queue.put_back(Entry {
            client,
            request,
            item: "a1 once more",
        });
        assert_eq!(order(&mut queue), ["a1 once more"]);
    }

    #[test]
    fn an_item_that_had_no_turn_is_the_next() {
        let mut queue = Queue::new();
        queue.push('a', 1, ["a1", "a2"].into());
        queue.push('a', 2, ["A1"].into());
        queue.push('b', 3, ["b1"].into());
        let first = queue.pop().unwrap();
        let second = queue.pop().unwrap();
        assert_eq!((first.item, second.item), ("a1", "b1"));
        queue.give_back(second);
        queue.give_back(first);
        assert_eq!(queue.len(), 4);
        assert_eq!(order(&mut queue), ["a1", "b1", "A1", "a2"]);
    }

    #[test]
    fn a_request_that_nobody_waits_for_leaves_nothing() {
        let mut queue = Queue::new();
        queue.push('a', 1, ["a1", "a2"].into());
        queue.push('b', 2, ["b1"].into());
        assert_eq!(queue.remove(1).len(), 2);
        assert_eq!(queue.remove(1).len(), 0);
        assert_eq!(queue.len(), 1);
        assert_eq!(order(&mut queue), ["b1"]);
    }
}
