"""What providers' own words for a failure mean: a table from word to class.

The law: data, in lower case. A word is believed before a status, so it stands here only where it is known what it means. Of
Coze's numbers 4013 (too many requests) and 720702222 (trouble of its servers) were found in other clients' sources; its own
list could not be looked up, so the others are told as they are remembered, and a number that is not here counts as trouble,
after which the next channel is asked.

Numbers of vendors carry the vendor's name where the shape of the error tells it (see `provider_error`). A word with a dot
(`Throttling.RateQuota`) is looked up whole, then by what is before its dots.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class FailureClass(StrEnum):
    """What kind of failure it was."""

    UNREACHABLE = "unreachable"
    """No connection: nothing was sent."""
    TIMEOUT_BEFORE_SEND = "timeout_before_send"
    TIMEOUT_AFTER_SEND = "timeout_after_send"
    """The upstream has the request and may be at work on it."""
    STALLED = "stalled"
    """A stream began and no content came: nothing was shown, and hanging up ends the upstream's work."""
    BROKEN_ANSWER = "broken_answer"
    TRANSIENT = "transient"
    """The upstream's own trouble, of which nobody can say how long it lasts."""
    RATE_LIMIT = "rate_limit"
    QUOTA = "quota"
    """Used up, or not paid."""
    CREDENTIAL = "credential"
    """The channel key, or the account behind it."""
    MODEL_MISSING = "model_missing"
    """Not there, or not for this account."""
    REGION = "region"
    TOO_LARGE = "too_large"
    """For this upstream: limits are each one's own."""
    CALLER = "caller"
    """What was sent is at fault."""
    POLICY = "policy"
    """What was sent is not allowed."""


_TABLE: Final[Mapping[FailureClass, str]] = {
    FailureClass.CREDENTIAL: """
        invalid_api_key incorrect_api_key api_key_invalid api_key_service_blocked invalid_authentication authentication_error
        authenticationerror authenticationfailed unauthorized unauthenticated permission_error permission_denied
        permissiondenied access_denied accessdenied access_terminated account_deactivated account_suspended consumer_suspended
        consumer_invalid organization_restricted service_disabled invalidapikey invalid_iam_token invalid_key forbidden
        1000 1001 1002 1003 1004 1005 1110 1111 1112 1120 1121 1220
        coze_4100 coze_4101 coze_4102 coze_700012006
        minimax_1004 minimax_2049
    """,
    FailureClass.QUOTA: """
        billing_error billing_not_active billing_disabled billing_hard_limit_reached credit_balance_too_low insufficient_quota
        insufficient_balance insufficient_credits quota_exceeded exceeded_current_quota_error arrearage accountoverdueerror
        setlimitexceeded coding_plan_quota_exceeded
        1113 1304 1308 1309 1310 30001
        coze_4008 coze_4011 coze_4019 coze_4022 coze_4027 coze_4028
        minimax_1008 minimax_2056
    """,
    FailureClass.MODEL_MISSING: """
        model_not_found model_not_available model_not_supported model_deprecated model_decommissioned model_unavailable
        invalid_model unsupported_model deploymentnotfound deployment_not_found not_found_error not_found modelnotopen
        modelnotfound modeldeprecated model.accessdenied invalidendpointormodel invalidendpoint operationnotsupported
        1211 1212 1221 1222 1311 20012 30003
        coze_4006 coze_4012 coze_4015 coze_4021 coze_4200
    """,
    FailureClass.REGION: """
        unsupported_country_region_territory failed_precondition location_not_supported
    """,
    FailureClass.RATE_LIMIT: """
        rate_limit_exceeded rate_limit_error rate_limit_reached_error resource_exhausted too_many_requests throttling
        ratelimitexceeded limit_requests limit_burst_rate requests tokens slow_down
        1302 1303 1313
        coze_4009 coze_4013 coze_4020
        minimax_1002 minimax_1039 minimax_1041
    """,
    FailureClass.TRANSIENT: """
        overloaded_error engine_overloaded_error engine_overloaded server_error internal_error internal_server_error
        internalservererror internalserviceerror api_error unavailable serviceunavailable internal deadline_exceeded
        timeout_error nocapacity serveroverloaded modelloading
        1200 1230 1234 1305 1312 50505
        coze_4016 coze_5000 coze_720702222 coze_unreadable
        minimax_1000 minimax_1001 minimax_1013 minimax_1024 minimax_1033
    """,
    FailureClass.CALLER: """
        invalid_request invalid_request_error invalid_argument invalid_parameter invalid_parameter_error invalid_value
        invalid_type invalid_json invalid_messages invalid_function_parameters invalid_image invalid_image_url
        invalid_image_format image_parse_error missing_required_parameter unknown_parameter unsupported_parameter
        unsupported_value array_above_max_length string_above_max_length integer_above_max_value integer_below_min_value
        decimal_above_max_value context_length_exceeded context_window_exceeded max_tokens_exceeded tokens_too_long
        characters_too_long exceed_context_size_error request_too_large validation_error unprocessable_entity_error
        out_of_range previous_response_not_found malformed_json invalidparameter missingparameter badrequest
        1210 1213 1214 1215 1261 20015
        coze_4000 coze_4001 coze_4002 coze_4003 coze_4004 coze_4005 coze_4007 coze_4010 coze_4300 coze_4301 coze_4302
        coze_4303 coze_4304 coze_4314 coze_4315 coze_requires_action coze_interrupt
        minimax_2013
    """,
    FailureClass.POLICY: """
        invalid_prompt content_filter content_policy_violation responsibleaipolicyviolation data_inspection_failed
        datainspectionfailed moderation_blocked sensitive_words_detected safety_check_failed cyber_policy_violation bio_policy
        sensitivecontentdetected inputtextsensitivecontentdetected inputimagesensitivecontentdetected
        outputtextsensitivecontentdetected inputtextriskdetection inputimageriskdetection outputtextriskdetection
        1300 1301
        coze_4014 coze_4105
        minimax_1026 minimax_1027
    """,
}
CLASSES: Final[Mapping[str, FailureClass]] = {word: kind for kind, words in _TABLE.items() for word in words.split()}
"""Every word that is known."""


def class_of(word: str) -> FailureClass | None:
    """Tell what a word means; None for one that is not known."""
    word = word.lower()
    return CLASSES.get(word) or CLASSES.get(word.partition(".")[0])


def words_twice() -> list[str]:
    """Name the words that stand in more than one place; a test says that there are none."""
    every = [word for words in _TABLE.values() for word in words.split()]
    return sorted({word for word in every if every.count(word) > 1})
