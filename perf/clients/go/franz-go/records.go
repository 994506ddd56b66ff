package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ringlog/perf/clients/go/scenario"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	codecRecords    = 1000
	codecPartitions = 4
	// The first of the timestamps that checks give to records; a topic with such keeps them for ever.
	timeFirst = 1_700_000_000_000
)

func recordChecks() []check {
	var checks []check
	add := func(name string, run func(*broker) (string, error)) {
		checks = append(checks, check{Name: name, Run: run})
	}
	codecs := []struct {
		name  string
		codec kgo.CompressionCodec
	}{
		{"none", kgo.NoCompression()},
		{"gzip", kgo.GzipCompression()},
		{"snappy", kgo.SnappyCompression()},
		{"lz4", kgo.Lz4Compression()},
		{"zstd", kgo.ZstdCompression()},
	}
	for number, codec := range codecs {
		add("codec/"+codec.name, func(b *broker) (string, error) {
			option := kgo.ProducerBatchCompression(codec.codec)
			return b.roundTrip("codec-"+codec.name, codecPartitions, codecRecords, uint8(number), option)
		})
	}
	plain := kgo.DisableIdempotentWrite()
	acks := map[string]kgo.Acks{"0": kgo.NoAck(), "1": kgo.LeaderAck(), "all": kgo.AllISRAcks()}
	for _, name := range []string{"0", "1", "all"} {
		add("acks/"+name, func(b *broker) (string, error) {
			uncompressed := kgo.ProducerBatchCompression(kgo.NoCompression())
			options := []kgo.Opt{kgo.RequiredAcks(acks[name]), plain, uncompressed}
			return b.roundTrip("acks-"+name, 1, 100, 0, options...)
		})
	}
	add("idempotence", idempotence)
	add("headers", headers)
	add("nulls", nulls)
	add("sizes", sizes)
	for _, partitions := range []int32{1, 64} {
		name := fmt.Sprintf("partitions/%d", partitions)
		add(name, func(b *broker) (string, error) {
			option := kgo.ProducerBatchCompression(kgo.NoCompression())
			return b.roundTrip(strings.ReplaceAll(name, "/", "-"), partitions, 640, 0, option)
		})
	}
	add("seek/offset", seekOffset)
	add("seek/timestamp", seekTimestamp)
	add("seek/ends", seekEnds)
	return checks
}

func numbered(topic string, partitions int32, count int) []*kgo.Record {
	records := make([]*kgo.Record, count)
	for i := range records {
		records[i] = &kgo.Record{
			Topic:     topic,
			Partition: int32(i) % partitions,
			Key:       fmt.Appendf(nil, "key %d", i),
			Value:     []byte(strings.Repeat(fmt.Sprintf("record %d ", i), 12)),
		}
	}
	return records
}

// roundTrip sends `count` records, record i to partition i % partitions, and compares all of them
// with what it reads: contents, offsets and how they were compressed.
func (b *broker) roundTrip(
	name string, partitions int32, count int, codec uint8, options ...kgo.Opt,
) (string, error) {
	topic, err := b.topic(name, partitions)
	if err != nil {
		return "", err
	}
	sent := numbered(topic, partitions, count)
	if err := b.produce(sent, options...); err != nil {
		return "", fmt.Errorf("produce: %w", err)
	}
	got, err := b.consume(topic, fromStart(partitions), count)
	if err != nil {
		return "", err
	}
	next := map[int32]int64{}
	for _, record := range got {
		wanted := next[record.Partition]
		next[record.Partition]++
		if record.Offset != wanted {
			return "", fmt.Errorf("partition %d: offset %d, expected %d", record.Partition, record.Offset, wanted)
		}
		original := sent[int(wanted)*int(partitions)+int(record.Partition)]
		if !bytes.Equal(record.Key, original.Key) || !bytes.Equal(record.Value, original.Value) {
			return "", fmt.Errorf("partition %d offset %d: other contents", record.Partition, wanted)
		}
		if record.Attrs.CompressionType() != codec {
			return "", fmt.Errorf("compressed with %d, sent with %d", record.Attrs.CompressionType(), codec)
		}
	}
	ends := map[int64]int{}
	for _, end := range next {
		ends[end]++
	}
	var each []string
	for _, end := range slices.Sorted(maps.Keys(ends)) {
		each = append(each, fmt.Sprintf("%d with %d", ends[end], end))
	}
	return fmt.Sprintf("%d records, partitions: %s", len(got), strings.Join(each, ", ")), nil
}

// idempotence sends small batches, several in flight: all come back once, in order, by one producer.
func idempotence(b *broker) (string, error) {
	topic, err := b.topic("idempotence", 1)
	if err != nil {
		return "", err
	}
	const count = 400
	records := numbered(topic, 1, count)
	if err := b.produce(records, kgo.ProducerBatchMaxBytes(2000)); err != nil {
		return "", err
	}
	got, err := b.consume(topic, fromStart(1), count)
	if err != nil {
		return "", err
	}
	for i, record := range got {
		if record.Offset != int64(i) || !bytes.Equal(record.Key, records[i].Key) {
			return "", fmt.Errorf("offset %d: other record than sent", i)
		}
		if record.ProducerID < 0 || record.ProducerID != got[0].ProducerID {
			return "", fmt.Errorf("offset %d: producer id %d", i, record.ProducerID)
		}
	}
	return fmt.Sprintf("%d records, producer epoch %d", len(got), got[0].ProducerEpoch), nil
}

func headers(b *broker) (string, error) {
	topic, err := b.topic("headers", 1)
	if err != nil {
		return "", err
	}
	sent := []kgo.RecordHeader{
		{Key: "plain", Value: []byte("value")},
		{Key: "again", Value: []byte("first")},
		{Key: "again", Value: []byte("second")},
		{Key: "empty", Value: []byte{}},
		{Key: "null", Value: nil},
		{Key: "", Value: []byte("no key")},
		{Key: "ключ", Value: []byte{0, 0xff, 0x80}},
	}
	records := numbered(topic, 1, 2)
	records[0].Headers = sent
	if err := b.produce(records); err != nil {
		return "", err
	}
	got, err := b.consume(topic, fromStart(1), 2)
	if err != nil {
		return "", err
	}
	var shown []string
	for _, record := range got {
		for _, header := range record.Headers {
			shown = append(shown, fmt.Sprintf("%q=%s", header.Key, shownBytes(header.Value)))
		}
	}
	if len(shown) != len(sent) || len(got[1].Headers) != 0 {
		return "", fmt.Errorf("%d headers: %v", len(shown), shown)
	}
	for i, header := range sent {
		if got[0].Headers[i].Key != header.Key || !bytes.Equal(got[0].Headers[i].Value, header.Value) {
			return "", fmt.Errorf("header %d: %s", i, shown[i])
		}
	}
	return strings.Join(shown, ", "), nil
}

func shownBytes(value []byte) string {
	if value == nil {
		return "null"
	}
	return fmt.Sprintf("%q", value)
}

// nulls: kgo reads null and empty apart, so the answer shows both.
func nulls(b *broker) (string, error) {
	topic, err := b.topic("nulls", 1)
	if err != nil {
		return "", err
	}
	pairs := [][2][]byte{
		{nil, []byte("value")}, {[]byte("key"), nil}, {nil, nil},
		{{}, []byte("value")}, {[]byte("key"), {}}, {{}, {}},
	}
	var records []*kgo.Record
	for _, pair := range pairs {
		records = append(records, &kgo.Record{Topic: topic, Key: pair[0], Value: pair[1]})
	}
	if err := b.produce(records); err != nil {
		return "", err
	}
	got, err := b.consume(topic, fromStart(1), len(pairs))
	if err != nil {
		return "", err
	}
	var shown, wanted []string
	for i, record := range got {
		shown = append(shown, shownBytes(record.Key)+":"+shownBytes(record.Value))
		wanted = append(wanted, shownBytes(pairs[i][0])+":"+shownBytes(pairs[i][1]))
	}
	return scenario.Expect(strings.Join(shown, " "), strings.Join(wanted, " "))
}

func sizes(b *broker) (string, error) {
	topic, err := b.topic("sizes", 1, "max.message.bytes", "4194304",
		"segment.bytes", "16777216")
	if err != nil {
		return "", err
	}
	var records []*kgo.Record
	for i, size := range []int{1, 1 << 20, 1, 3 << 20, 1} {
		value := bytes.Repeat([]byte{byte('a' + i)}, size)
		for at := 0; at < size; at += 1000 {
			value[at] = byte(at / 1000)
		}
		records = append(records, &kgo.Record{Topic: topic, Value: value})
	}
	options := []kgo.Opt{
		kgo.ProducerBatchMaxBytes(4 << 20), kgo.ProducerBatchCompression(kgo.NoCompression()),
	}
	if err := b.produce(records, options...); err != nil {
		return "", err
	}
	got, err := b.consume(topic, fromStart(1), len(records))
	if err != nil {
		return "", err
	}
	var shown []string
	for i, record := range got {
		if !bytes.Equal(record.Value, records[i].Value) {
			return "", fmt.Errorf("record %d of %d bytes came back otherwise", i, len(records[i].Value))
		}
		shown = append(shown, fmt.Sprint(len(record.Value)))
	}
	return strings.Join(shown, " "), nil
}

// timed makes a topic with ten batches of ten records, one second apart.
func (b *broker) timed(name string) (string, error) {
	topic, err := b.topic(name, 1, "retention.ms", "-1")
	if err != nil {
		return "", err
	}
	client, err := b.client()
	if err != nil {
		return "", err
	}
	defer client.Close()
	records := numbered(topic, 1, 100)
	for i, record := range records {
		record.Timestamp = time.UnixMilli(timeFirst + int64(i)*1000)
	}
	for batch := range slices.Chunk(records, 10) {
		if err := client.ProduceSync(b.context, batch...).FirstErr(); err != nil {
			return "", err
		}
	}
	return topic, nil
}

// firstFrom is the first record that a consumer which starts at a place gets.
func (b *broker) firstFrom(topic string, place kgo.Offset) (*kgo.Record, error) {
	assigned := map[string]map[int32]kgo.Offset{topic: {0: place}}
	client, err := b.client(kgo.ConsumePartitions(assigned))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	fetches := client.PollRecords(b.context, 1)
	if err := fetches.Err(); err != nil {
		return nil, err
	}
	return fetches.Records()[0], nil
}

func (b *broker) firsts(topic string, places []kgo.Offset) (string, error) {
	var shown []string
	for _, place := range places {
		record, err := b.firstFrom(topic, place)
		if err != nil {
			return "", err
		}
		if string(record.Key) != fmt.Sprintf("key %d", record.Offset) {
			return "", fmt.Errorf("offset %d has %q", record.Offset, record.Key)
		}
		shown = append(shown, fmt.Sprint(record.Offset))
	}
	return strings.Join(shown, " "), nil
}

func seekOffset(b *broker) (string, error) {
	topic, err := b.timed("seek-offset")
	if err != nil {
		return "", err
	}
	var places []kgo.Offset
	for _, offset := range []int64{0, 1, 9, 10, 55, 99} {
		places = append(places, kgo.NewOffset().At(offset))
	}
	answer, err := b.firsts(topic, places)
	if err != nil {
		return "", err
	}
	return scenario.Expect(answer, "0 1 9 10 55 99")
}

func seekTimestamp(b *broker) (string, error) {
	topic, err := b.timed("seek-timestamp")
	if err != nil {
		return "", err
	}
	var places []kgo.Offset
	for _, after := range []int64{-1000, 0, 1, 1000, 9_999, 42_000, 42_001, 99_000} {
		places = append(places, kgo.NewOffset().AfterMilli(timeFirst+after))
	}
	answer, err := b.firsts(topic, places)
	if err != nil {
		return "", err
	}
	return scenario.Expect(answer, "0 0 1 1 10 42 43 99")
}

// seekEnds starts at the beginning, a little after it, a little before the end, and at the end, where
// only what is sent later comes.
func seekEnds(b *broker) (string, error) {
	topic, err := b.timed("seek-ends")
	if err != nil {
		return "", err
	}
	answer, err := b.firsts(topic, []kgo.Offset{
		kgo.NewOffset().AtStart(),
		kgo.NewOffset().AtStart().Relative(5),
		kgo.NewOffset().AtEnd().Relative(-3),
	})
	if err != nil {
		return "", err
	}
	assigned := map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtEnd()}}
	client, err := b.client(kgo.ConsumePartitions(assigned))
	if err != nil {
		return "", err
	}
	defer client.Close()
	sending := make(chan error, 1)
	go func() {
		time.Sleep(300 * time.Millisecond)
		late := &kgo.Record{Topic: topic, Value: []byte("late")}
		sending <- b.produce([]*kgo.Record{late})
	}()
	fetches := client.PollRecords(b.context, 1)
	if err := fetches.Err(); err != nil {
		return "", err
	}
	if err := <-sending; err != nil {
		return "", err
	}
	late := fetches.Records()[0]
	return scenario.Expect(fmt.Sprintf("%s %d:%s", answer, late.Offset, late.Value), "0 5 97 100:late")
}
