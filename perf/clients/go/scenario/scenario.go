// Package scenario is what the Go clients' programs share.
//
//	build: go build -o OUTPUT ./CLIENT    (in the folder above; go.mod and go.sum pin the versions)
//	start: OUTPUT --bootstrap HOST:PORT --prefix PREFIX [--only CHECK,CHECK]
//
// Every line of output is one check: {"check","result","detail","answer"}. The answer has nothing in
// it that differs from one broker or run to another, so that two brokers can be compared by it. All
// topics are made by the programs, and their names begin with the prefix. The exit status is 0
// whenever a program came to its end, whatever the checks found.
package scenario

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

const shownMax = 3 * time.Second

// Arguments are what a program is told.
type Arguments struct {
	Bootstrap string
	Prefix    string
	chosen    []string
}

// Check is a check of a client: it answers, or tells what went wrong.
type Check[Broker any] struct {
	Name string
	Run  func(Broker) (answer string, err error)
}

type outcome struct {
	Check  string `json:"check"`
	Result string `json:"result"`
	Detail string `json:"detail"`
	Answer string `json:"answer"`
}

// Parse reads the command line.
func Parse(client string) Arguments {
	bootstrap := flag.String("bootstrap", "127.0.0.1:9092", "address of the broker")
	prefix := flag.String("prefix", client, "what the names of topics begin with")
	only := flag.String("only", "", "the checks to run, with commas between; all if empty")
	flag.Parse()
	arguments := Arguments{Bootstrap: *bootstrap, Prefix: *prefix}
	if *only != "" {
		arguments.chosen = strings.Split(*only, ",")
	}
	return arguments
}

// Play runs the checks that were asked for, each with a broker of its own making.
func Play[Broker any](arguments Arguments, checks []Check[Broker], open func() (Broker, func())) {
	lines := json.NewEncoder(os.Stdout)
	lines.SetEscapeHTML(false)
	for _, check := range checks {
		if arguments.chosen != nil && !slices.Contains(arguments.chosen, check.Name) {
			continue
		}
		began := time.Now()
		broker, closed := open()
		answer, err := check.Run(broker)
		closed()
		line := outcome{Check: check.Name, Result: "pass", Answer: answer}
		line.Detail = fmt.Sprintf("%d ms", time.Since(began).Milliseconds())
		if err != nil {
			line.Result, line.Detail = "fail", err.Error()
		}
		_ = lines.Encode(line)
	}
}

// Eventually asks until the answer is the wanted one: a broker may take a moment to show what its
// controller has done. What it says last is returned.
func Eventually(wanted string, ask func() (string, error)) (string, error) {
	deadline := time.Now().Add(shownMax)
	for {
		answer, err := ask()
		if answer == wanted || err != nil || time.Now().After(deadline) {
			return answer, err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Expect is for answers that have to be these: an error if not.
func Expect(answer, wanted string) (string, error) {
	if answer != wanted {
		return answer, fmt.Errorf("answered %q, expected %q", answer, wanted)
	}
	return answer, nil
}

// Answers collects what was asked, and what was answered or the name of the error that came.
type Answers struct {
	// Name is what the client calls an error; "NONE" for nil.
	Name  func(error) string
	lines []string
}

// Add notes an error that must come.
func (a *Answers) Add(what string, err error) {
	a.lines = append(a.lines, what+": "+a.Name(err))
}

// Note notes an answer that is no error.
func (a *Answers) Note(what string, answer any) {
	a.lines = append(a.lines, fmt.Sprintf("%s: %v", what, answer))
}

// All is an error when something succeeded that had to fail.
func (a *Answers) All() (string, error) {
	text := strings.Join(a.lines, "; ")
	if strings.Contains(text, ": NONE") {
		return text, fmt.Errorf("no error: %s", text)
	}
	return text, nil
}
