use super::*;

#[test]
fn appended_bytes_are_frozen_and_outlive_chunk_and_pool() {
    let mut pool = Pool::new("test", 1 << 20).unwrap();
    let mut chunk = pool.take(16 << 10).unwrap();
    chunk.append(b"hello ");
    let early = chunk.slice(0..6);
    chunk.append(b"world");
    let late = chunk.slice(6..11);
    let both = chunk.slice(0..11).slice(4..8);
    drop(chunk);
    drop(pool);
    let thread = std::thread::spawn(move || late.to_vec());
    assert_eq!(&*early, b"hello ");
    assert_eq!(&*both, b"o wo");
    assert_eq!(thread.join().unwrap(), b"world");
}

#[test]
fn appending_beside_a_reader_is_sound() {
    let mut pool = Pool::new("test", 1 << 20).unwrap();
    let mut chunk = pool.take(16 << 10).unwrap();
    chunk.append(&[1; 100]);
    let slice = chunk.slice(0..100);
    let reader = std::thread::spawn(move || slice.iter().map(|b| u32::from(*b)).sum::<u32>());
    chunk.append(&[2; 100]);
    assert_eq!(reader.join().unwrap(), 100);
    assert_eq!(chunk.bytes()[100..], [2; 100]);
}

#[test]
fn the_budget_is_a_limit_and_comes_back() {
    let mut pool = Pool::new("test", 2 << 20).unwrap();
    let all: Vec<_> = std::iter::from_fn(|| pool.take(1 << 20)).collect();
    assert_eq!(all.len(), 2);
    assert!(pool.take(16 << 10).is_none());
    assert_eq!(pool.used_bytes(), 2 << 20);
    drop(all);
    assert_eq!(pool.used_bytes(), 0);
    let small: Vec<_> = std::iter::from_fn(|| pool.take(16 << 10)).collect();
    assert_eq!(small.len(), 128);
    assert!(pool.take(1 << 20).is_none());
}

#[test]
fn memory_of_every_size_comes_back_together() {
    let mut pool = Pool::new("test", 4 << 20).unwrap();
    let rounds = if cfg!(miri) { 3 } else { 200 };
    let mut seed = 7_u64;
    for _ in 0..rounds {
        let mut held = Vec::new();
        loop {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let size = CHUNK_SIZES[(seed >> 60) as usize % 4];
            match pool.take(size) {
                Some(chunk) => held.push(chunk),
                None => break,
            }
            if seed >> 33 & 3 == 0 {
                held.swap_remove((seed >> 40) as usize % held.len());
            }
        }
        drop(held);
        assert_eq!(pool.used_bytes(), 0);
        let whole: Vec<_> = std::iter::from_fn(|| pool.take(1 << 20)).collect();
        assert_eq!(whole.len(), 4);
    }
}

#[test]
fn pieces_dropped_elsewhere_return() {
    let mut pool = Pool::new("test", 1 << 20).unwrap();
    for _ in 0..if cfg!(miri) { 3 } else { 100 } {
        let held: Vec<_> = std::iter::from_fn(|| pool.take(64 << 10)).collect();
        assert_eq!(held.len(), 16);
        let mut threads = Vec::new();
        for mut chunk in held {
            chunk.append(b"x");
            let slice = chunk.slice(0..1);
            threads.push(std::thread::spawn(move || drop(slice)));
            drop(chunk);
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(pool.used_bytes(), 0);
    }
}

#[test]
fn a_write_covers_the_padded_tail_and_keeps_the_piece() {
    let mut pool = Pool::new("test", 1 << 20).unwrap();
    let mut stale = pool.take(16 << 10).unwrap();
    stale.append(&[9; 16 << 10]);
    drop(stale);
    let mut chunk = pool.take(16 << 10).unwrap();
    chunk.append(&[1; 5000]);
    let write = chunk.write(4096..8192);
    assert_eq!(write.len(), 4096);
    // SAFETY: nothing is appended while this looks at the bytes.
    let seen = unsafe { std::slice::from_raw_parts(write.address(), write.len()) }.to_vec();
    assert_eq!(seen[..904], [1; 904]);
    assert_eq!(seen[904..], [0; 3192]);
    chunk.append(&[2; 100]);
    drop(chunk);
    assert_eq!(pool.used_bytes(), 16 << 10);
    drop(write);
    assert_eq!(pool.used_bytes(), 0);
}

#[test]
#[should_panic(expected = "an append fits the chunk")]
fn an_append_past_the_capacity_is_a_bug() {
    let mut pool = Pool::new("test", 1 << 20).unwrap();
    let mut chunk = pool.take(16 << 10).unwrap();
    chunk.append(&vec![0; (16 << 10) + 1]);
}

#[test]
fn a_read_buffer_freezes_without_a_copy() {
    let mut pool = Pool::new("test", 1 << 20).unwrap();
    let mut read = pool.read_buf(10_000).unwrap();
    assert_eq!(read.capacity(), 16 << 10);
    let to = read.address_at(0);
    // SAFETY: the buffer is ours and has room for five bytes, which are then all written.
    unsafe {
        std::ptr::copy_nonoverlapping(b"bytes".as_ptr(), to, 5);
        read.set_len(5);
    }
    let slice = read.freeze();
    assert_eq!(&*slice, b"bytes");
    assert_eq!(slice.as_ptr(), to.cast_const());
    let written = pool.take(16 << 10).unwrap();
    assert_eq!((pool.used_bytes(), pool.reading_bytes()), (32 << 10, 16 << 10));
    drop(slice);
    assert_eq!((pool.used_bytes(), pool.reading_bytes()), (16 << 10, 0));
    drop(written);
    let _reused = pool.take(16 << 10).unwrap();
    assert_eq!((pool.used_bytes(), pool.reading_bytes()), (16 << 10, 0));
}
