"""What is below the SDK's decorator, whichever version it is of."""

import functools

import pytest
from aws_durable_execution_sdk_python import durable_execution

from steprig.aws.handlers import body_of


def remind(event, context):
    return event


def test_the_body_of_a_handler_is_found():
    assert body_of(durable_execution(remind)) is remind
    assert body_of(durable_execution(boto3_client=object())(remind)) is remind


def test_it_is_found_where_the_wrapper_does_not_tell():
    func = remind

    def wrapper(event, context):
        return func(event, context)

    wrapper.__module__ = "aws_durable_execution_sdk_python.execution"

    assert body_of(wrapper) is remind


@pytest.mark.parametrize("other", [remind, print, functools.partial(remind, 1), object()])
def test_whatever_is_no_handler_is_its_own(other):
    assert body_of(other) is other
