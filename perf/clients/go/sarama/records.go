package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"ringlog/perf/clients/go/scenario"

	"github.com/IBM/sarama"
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
	codecs := []sarama.CompressionCodec{
		sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy,
		sarama.CompressionLZ4, sarama.CompressionZSTD,
	}
	for _, codec := range codecs {
		name := codec.String()
		add("codec/"+name, func(b *broker) (string, error) {
			config := configuration()
			config.Producer.Compression = codec
			return b.roundTrip("codec-"+name, codecPartitions, codecRecords, config)
		})
	}
	all := []struct {
		name string
		acks sarama.RequiredAcks
	}{{"0", sarama.NoResponse}, {"1", sarama.WaitForLocal}, {"all", sarama.WaitForAll}}
	for _, one := range all {
		add("acks/"+one.name, func(b *broker) (string, error) {
			config := configuration()
			config.Producer.RequiredAcks = one.acks
			return b.roundTrip("acks-"+one.name, 1, 100, config)
		})
	}
	add("idempotence", func(b *broker) (string, error) {
		config := configuration()
		config.Producer.Idempotent = true
		config.Net.MaxOpenRequests = 1 // sarama allows no more with idempotence
		config.Producer.Flush.MaxMessages = 10
		return b.roundTrip("idempotence", 1, 400, config)
	})
	add("headers", headers)
	add("nulls", nulls)
	add("sizes", sizes)
	for _, partitions := range []int32{1, 64} {
		add(fmt.Sprintf("partitions/%d", partitions), func(b *broker) (string, error) {
			return b.roundTrip(fmt.Sprintf("partitions-%d", partitions), partitions, 640, configuration())
		})
	}
	add("seek/offset", seekOffset)
	add("seek/timestamp", seekTimestamp)
	add("seek/ends", seekEnds)
	return checks
}

func keyOf(index int) string   { return fmt.Sprintf("key %d", index) }
func valueOf(index int) string { return strings.Repeat(fmt.Sprintf("record %d ", index), 12) }

func numbered(topic string, partitions int32, count int) []*sarama.ProducerMessage {
	messages := make([]*sarama.ProducerMessage, count)
	for i := range messages {
		messages[i] = &sarama.ProducerMessage{
			Topic:     topic,
			Partition: int32(i) % partitions,
			Key:       sarama.StringEncoder(keyOf(i)),
			Value:     sarama.StringEncoder(valueOf(i)),
		}
	}
	return messages
}

// roundTrip sends `count` messages, message i to partition i % partitions, and compares all of them
// with what it reads: contents and offsets.
func (b *broker) roundTrip(
	name string, partitions int32, count int, config *sarama.Config,
) (string, error) {
	topic, err := b.topic(name, partitions)
	if err != nil {
		return "", err
	}
	if err := b.produce(config, numbered(topic, partitions, count)...); err != nil {
		return "", fmt.Errorf("produce: %w", err)
	}
	got, err := b.consume(topic, fromStart(partitions), count)
	if err != nil {
		return "", err
	}
	next := map[int32]int64{}
	for _, message := range got {
		wanted := next[message.Partition]
		next[message.Partition]++
		place := fmt.Sprintf("partition %d offset %d", message.Partition, message.Offset)
		if message.Offset != wanted {
			return "", fmt.Errorf("%s where %d was next", place, wanted)
		}
		index := int(wanted)*int(partitions) + int(message.Partition)
		if string(message.Key) != keyOf(index) || string(message.Value) != valueOf(index) {
			return "", fmt.Errorf("%s: other contents", place)
		}
	}
	return fmt.Sprintf("%d records in %d partitions", len(got), len(next)), nil
}

func headers(b *broker) (string, error) {
	topic, err := b.topic("headers", 1)
	if err != nil {
		return "", err
	}
	sent := []sarama.RecordHeader{
		{Key: []byte("plain"), Value: []byte("value")},
		{Key: []byte("again"), Value: []byte("first")},
		{Key: []byte("again"), Value: []byte("second")},
		{Key: []byte("empty"), Value: []byte{}},
		{Key: []byte("null"), Value: nil},
		{Key: []byte(""), Value: []byte("no key")},
		{Key: []byte("ключ"), Value: []byte{0, 0xff, 0x80}},
	}
	messages := numbered(topic, 1, 2)
	messages[0].Headers = sent
	if err := b.produce(configuration(), messages...); err != nil {
		return "", err
	}
	got, err := b.consume(topic, fromStart(1), 2)
	if err != nil {
		return "", err
	}
	if len(got[0].Headers) != len(sent) || len(got[1].Headers) != 0 {
		return "", fmt.Errorf("%d and %d headers", len(got[0].Headers), len(got[1].Headers))
	}
	var shown []string
	for i, header := range got[0].Headers {
		if !bytes.Equal(header.Key, sent[i].Key) || !bytes.Equal(header.Value, sent[i].Value) {
			return "", fmt.Errorf("header %d: %q=%q", i, header.Key, header.Value)
		}
		shown = append(shown, fmt.Sprintf("%q=%s", header.Key, shownBytes(header.Value)))
	}
	return strings.Join(shown, ", "), nil
}

func shownBytes(value []byte) string {
	if value == nil {
		return "null"
	}
	return fmt.Sprintf("%q", value)
}

func nulls(b *broker) (string, error) {
	topic, err := b.topic("nulls", 1)
	if err != nil {
		return "", err
	}
	key, value, empty := sarama.StringEncoder("key"), sarama.StringEncoder("value"), sarama.ByteEncoder{}
	messages := []*sarama.ProducerMessage{
		{Value: value}, {Key: key}, {}, {Key: empty, Value: value}, {Key: key, Value: empty},
		{Key: empty, Value: empty},
	}
	for _, message := range messages {
		message.Topic = topic
	}
	if err := b.produce(configuration(), messages...); err != nil {
		return "", err
	}
	got, err := b.consume(topic, fromStart(1), len(messages))
	if err != nil {
		return "", err
	}
	var shown []string
	for _, message := range got {
		shown = append(shown, shownBytes(message.Key)+":"+shownBytes(message.Value))
	}
	wanted := `null:"value" "key":null null:null "":"value" "key":"" "":""`
	return scenario.Expect(strings.Join(shown, " "), wanted)
}

func sizes(b *broker) (string, error) {
	topic, err := b.topic("sizes", 1, "max.message.bytes", "4194304", "segment.bytes", "16777216")
	if err != nil {
		return "", err
	}
	config := configuration()
	config.Producer.MaxMessageBytes = 4 << 20
	var messages []*sarama.ProducerMessage
	var sent [][]byte
	for i, size := range []int{1, 1 << 20, 1, 3 << 20, 1} {
		value := bytes.Repeat([]byte{byte('a' + i)}, size)
		for at := 0; at < size; at += 1000 {
			value[at] = byte(at / 1000)
		}
		sent = append(sent, value)
		message := &sarama.ProducerMessage{Topic: topic, Value: sarama.ByteEncoder(value)}
		messages = append(messages, message)
	}
	if err := b.produce(config, messages...); err != nil {
		return "", err
	}
	got, err := b.consume(topic, fromStart(1), len(messages))
	if err != nil {
		return "", err
	}
	var shown []string
	for i, message := range got {
		if !bytes.Equal(message.Value, sent[i]) {
			return "", fmt.Errorf("record %d of %d bytes came back otherwise", i, len(sent[i]))
		}
		shown = append(shown, fmt.Sprint(len(message.Value)))
	}
	return strings.Join(shown, " "), nil
}

// timed makes a topic with ten batches of ten records, one second apart.
func (b *broker) timed(name string) (string, error) {
	topic, err := b.topic(name, 1, "retention.ms", "-1")
	if err != nil {
		return "", err
	}
	producer, err := sarama.NewSyncProducer([]string{b.bootstrap}, configuration())
	if err != nil {
		return "", err
	}
	defer func() { _ = producer.Close() }()
	messages := numbered(topic, 1, 100)
	for i, message := range messages {
		message.Timestamp = time.UnixMilli(timeFirst + int64(i)*1000)
	}
	for at := 0; at < len(messages); at += 10 {
		if err := firstOf(producer.SendMessages(messages[at : at+10])); err != nil {
			return "", err
		}
	}
	return topic, nil
}

// firsts are the offsets of the first messages that consumers which start at these places get.
func (b *broker) firsts(topic string, places []int64) (string, error) {
	var shown []string
	for _, place := range places {
		got, err := b.consume(topic, map[int32]int64{0: place}, 1)
		if err != nil {
			return "", err
		}
		if string(got[0].Key) != keyOf(int(got[0].Offset)) {
			return "", fmt.Errorf("offset %d has %q", got[0].Offset, got[0].Key)
		}
		shown = append(shown, fmt.Sprint(got[0].Offset))
	}
	return strings.Join(shown, " "), nil
}

func seekOffset(b *broker) (string, error) {
	topic, err := b.timed("seek-offset")
	if err != nil {
		return "", err
	}
	answer, err := b.firsts(topic, []int64{0, 1, 9, 10, 55, 99})
	if err != nil {
		return "", err
	}
	return scenario.Expect(answer, "0 1 9 10 55 99")
}

// seekTimestamp asks for the offset of a time, as sarama's users do, and starts there.
func seekTimestamp(b *broker) (string, error) {
	topic, err := b.timed("seek-timestamp")
	if err != nil {
		return "", err
	}
	var places []int64
	for _, after := range []int64{-1000, 0, 1, 1000, 9_999, 42_000, 42_001, 99_000} {
		offset, err := b.client.GetOffset(topic, 0, timeFirst+after)
		if err != nil {
			return "", err
		}
		places = append(places, offset)
	}
	answer, err := b.firsts(topic, places)
	if err != nil {
		return "", err
	}
	later, err := b.client.GetOffset(topic, 0, timeFirst+99_001)
	if err != nil {
		return "", err
	}
	return scenario.Expect(fmt.Sprintf("%s, later: %d", answer, later), "0 0 1 1 10 42 43 99, later: -1")
}

// seekEnds starts at the beginning, and at the end, where only what is sent later comes.
func seekEnds(b *broker) (string, error) {
	topic, err := b.timed("seek-ends")
	if err != nil {
		return "", err
	}
	first, err := b.firsts(topic, []int64{sarama.OffsetOldest})
	if err != nil {
		return "", err
	}
	sending := make(chan error, 1)
	go func() {
		time.Sleep(500 * time.Millisecond)
		late := sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("late")}
		sending <- b.produce(configuration(), &late)
	}()
	got, err := b.consume(topic, map[int32]int64{0: sarama.OffsetNewest}, 1)
	if err != nil {
		return "", err
	}
	if err := <-sending; err != nil {
		return "", err
	}
	return scenario.Expect(fmt.Sprintf("%s %d:%s", first, got[0].Offset, got[0].Value), "0 100:late")
}
